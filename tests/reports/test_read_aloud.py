"""Sentences that a reader of the committed studies' pages found false or unclear."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reports.analysis.arms import with_counted
from reports.analysis.effect_words import average_words, effects_words
from reports.analysis.effects import Effect, main_effects
from reports.data.study import Study
from reports.formatting import plus_minus, with_ends
from reports.statistics import share_over_arms, wilson
from tests.reports.known import known_study
from tests.reports.page_text import page_text

CELLS = {"cell": ["rnn", "lstm", "gru"], "initializer": ["orthogonal", "normal"]}


def scores(mean: Callable[[Mapping[str, Any]], float], sd: float) -> Any:
    def point(labels: Mapping[str, Any], seed: int, rng: Any) -> dict[str, Any]:
        return {"score": mean(labels) + sd * rng.standard_normal()}

    return point


def nearly_all_solved() -> Study:
    """18 networks of which two do not solve their task, both of one cell."""
    return known_study(
        CELLS,
        lambda labels, seed, rng: {
            "score": 0.8 if labels["cell"] == "lstm" and seed == 2 else 0.95,
            "D": -1.0 + 0.1 * seed,
        },
        seeds=3,
    )


def test_a_share_of_none_begins_at_zero_and_one_of_all_ends_at_one() -> None:
    for n in (3, 12, 36, 1000):
        assert wilson(0, n).low == 0.0
        assert wilson(n, n).high == 1.0
        arms = np.repeat(np.arange(n), 3)
        assert share_over_arms(np.zeros(3 * n), arms).low == 0.0
        assert share_over_arms(np.ones(3 * n), arms).high == 1.0


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.013, 0.001, 0.025, "0.013 [0.001, 0.025]"),
        (0.034, -0.001, 0.069, "0.034 [−0.001, 0.069]"),
        (0.034, 0.01, 0.058, "0.034 [0.010, 0.058]"),
        (0.5, 0.0, 1.0, "0.50 [0.00, 1.00]"),
    ],
)
def test_an_end_that_is_not_zero_does_not_print_as_zero(
    value: float, low: float, high: float, text: str
) -> None:
    assert with_ends(value, low, high) == text


def test_a_lead_that_is_not_zero_does_not_print_as_zero() -> None:
    assert plus_minus(-0.0046, -0.0646, 0.0554) == "−0.005\u00a0±\u00a00.060"
    assert plus_minus(0.0, -0.06, 0.06) == "0.000\u00a0±\u00a00.060"


def test_counts_of_claims_are_grammatical() -> None:
    said = page_text(known_study(CELLS, scores(lambda labels: 0.95, 0.002), seeds=4))["claims"]
    assert re.search(r"(1 holds|[02-9] hold) here", said)
    assert not re.search(r"([02-9]|\d\d) holds here", said)


def test_an_association_of_two_networks_is_called_too_few() -> None:
    text = page_text(nearly_all_solved())
    for section in ("summary", "predicts"):
        assert "is not shown to go with" not in text[section]
        assert "16 of 18 judged networks solved their task" in text[section]
    assert "AUC" not in text["summary"]


def test_a_factor_that_is_too_close_to_call_is_not_among_none() -> None:
    study = known_study(CELLS, scores(lambda labels: 0.5, 0.02), seeds=3)
    effects = {one.factor: one for one in main_effects(study, with_counted(study))}
    said = effects_words(
        study, [_decided(effects["cell"], None), _decided(effects["initializer"], False)]
    )
    assert "No factor shows" not in said
    assert re.search(r"For cell \([^)]*\) it is too close to call", said)
    assert re.search(r"No other factor shows [^:]*: initializer", said)


def test_an_effect_whose_interval_has_zero_in_it_says_so() -> None:
    study = known_study(CELLS, scores(lambda labels: 0.5, 0.02), seeds=3)
    (one, *_) = main_effects(study, with_counted(study))
    said = average_words(_decided(one, True))
    assert one.difference.low < 0 and "not in their mean, whose interval has 0 in it" in said


def _decided(one: Effect, shown: bool | None) -> Effect:
    assert one.decided
    return replace(one, decided=replace(one.decided, shown=shown))


def test_a_metric_reads_as_part_of_a_sentence() -> None:
    task = {
        "metric": "mean squared error, standardised",
        "higher_is_better": False,
        "baseline": 1.0,
        "solved": 0.2,
    }
    study = known_study(CELLS, scores(lambda labels: 0.5, 0.02), seeds=3, task=task)
    said = page_text(study)["summary"]
    assert "mean test squared error 0." in said
    assert "mean squared error" not in said


def test_lost_networks_are_not_forgotten_among_those_that_met_the_rule() -> None:
    """18 met the rule, one of them was lost: the summary may not say that 17 ever met it."""
    study = known_study(
        CELLS,
        lambda labels, seed, rng: (
            {"score": 0.95, "outcome": "silently diverged", "ends_solved": False}
            if seed == 0 and labels == {"cell": "rnn", "initializer": "normal"}
            else {"score": 0.95}
        ),
        seeds=3,
    )
    text = page_text(study)
    assert "1 more met its rule at an earlier validation" in text["summary"]
    assert "all 17 that ever met" not in text["summary"]
    for section in ("summary", "accuracy"):
        assert "17 that met the rule and were not lost" in text[section]


def test_nothing_is_said_to_be_ahead_by_no_more_than_chance() -> None:
    """What is not shown to be ahead may well be ahead."""
    said = page_text(known_study(CELLS, scores(lambda labels: 0.5, 0.02), seeds=3))["recipe"]
    assert "no more than chance" not in said
    assert "is not shown to be ahead" in said


def test_ever_and_at_the_end_are_told_apart() -> None:
    """Networks that met the rule and lost it again count as the one and not as the other."""
    study = known_study(
        CELLS,
        lambda labels, seed, rng: {"score": 0.95, "ends_solved": seed > 0, "solved_at": 100.0},
        seeds=3,
    )
    text = page_text(study)
    assert "12 of 18 networks solved the task at the end" in text["summary"]
    assert not re.search(r"[Ss]olved (by the end|at the end|the task)", text["time_to_solve"])
    assert "18 of 18 networks met the task's rule at some time" in text["time_to_solve"]


def test_the_correlation_with_the_score_stands_only_where_it_was_computed() -> None:
    study = known_study(
        CELLS,
        lambda labels, seed, rng: {
            "score": 0.5 + 0.1 * rng.standard_normal(),
            "D": -1.0 + rng.standard_normal(),
        },
        seeds=6,
    )
    said = page_text(study)["predicts"]
    row = re.search(r"compared within cell \| [^|]* \| [^|]* \| ([^|]*) \|", said)
    assert row and row.group(1).strip() == "–"


def test_an_interaction_of_a_third_level_makes_no_claim_mixed() -> None:
    """Only rnn depends on the initializer: a claim about lstm and gru does not."""

    def mean(labels: Mapping[str, Any]) -> float:
        rnn = labels["cell"] == "rnn"
        return 0.6 + (0.2 if rnn and labels["initializer"] == "orthogonal" else 0.0)

    claim = {
        "statement": "A GRU is as good",
        "better": {"cell": "gru"},
        "worse": {"cell": "lstm"},
        "by": "score",
        "least": 0.011,
        "direction": "no less",
    }
    for draw in range(4):
        study = known_study(CELLS, scores(mean, 0.01), seeds=3, claims=[claim], draw=draw)
        assert "A GRU is as good: mixed" not in page_text(study)["claims"]


def test_times_that_all_lie_at_the_end_have_no_interval() -> None:
    """Two of three met the rule at the last update: how long the third takes is not known."""
    study = known_study(
        CELLS,
        lambda labels, seed, rng: {
            "score": 0.95,
            "solved_at": 400.0 if seed else float("nan"),
            "ends_solved": seed > 0,
        },
        seeds=3,
    )
    said = page_text(study)["time_to_solve"]
    assert "[400, 400]" not in said
    assert "400 or more" in said


def test_an_outcome_that_did_not_occur_is_said_in_a_sentence() -> None:
    claim = {
        "statement": "Orthogonal weights lose fewer",
        "better": {"initializer": "orthogonal"},
        "worse": {"initializer": "normal"},
        "by": "lost",
        "least": 0.1,
    }
    study = known_study(CELLS, scores(lambda labels: 0.5, 0.02), seeds=3, claims=[claim])
    said = page_text(study)["claims"]
    assert "It is none of" not in said
    assert "That is none of the 18 networks of both sides: the outcome did not occur here" in said


def test_a_share_of_draws_is_not_called_sure() -> None:
    study = known_study(CELLS, scores(lambda labels: 0.5, 0.02), seeds=3)
    assert "surely" not in page_text(study)["pareto"]


def test_what_all_networks_do_is_said_not_to_tell_them_apart() -> None:
    study = known_study(CELLS, lambda labels, seed, rng: {"score": 0.95 if seed else 0.7}, seeds=6)
    said = page_text(study)["claims"]
    assert "30 of 30 that solved their task carry at the end; so do all of the other 6" in said


def test_the_summary_has_no_more_numbers_of_an_association_than_a_reader_needs() -> None:
    study = known_study(
        CELLS,
        lambda labels, seed, rng: {
            "score": 0.95 if rng.random() < 0.5 else 0.6,
            "D": -1.0 + rng.standard_normal(),
        },
        seeds=6,
    )
    said = next(
        sentence
        for sentence in re.split(r"(?<=[.]) ", page_text(study)["summary"])
        if "remaining gradient at the judged lag at the end" in sentence
    )
    assert len(re.findall(r"\d+(?:\.\d+)?", said)) <= 5


def test_the_smallest_p_is_that_of_the_seeds_there_are() -> None:
    study = known_study(CELLS, scores(lambda labels: 0.5, 0.02), seeds=5)
    said = page_text(study)["accuracy"]
    assert "with 5 seeds per side the smallest two-sided p of a permutation test is 0.0079" in said


def test_a_cheap_arm_that_solves_nothing_is_not_offered_in_place_of_the_first() -> None:
    """Plain networks are quick, and by luck some score as well; none of them solves the task."""
    study = known_study(
        CELLS,
        lambda labels, seed, rng: {
            "score": 0.85 + 0.02 * seed if labels["cell"] == "rnn" else 0.95,
            "seconds": 0.1 if labels["cell"] == "rnn" else 3.0,
        },
        seeds=3,
    )
    said = page_text(study)["recipe"]
    assert "rnn · orthogonal" in said and "cannot be told apart" in said
    assert "quickest" not in said


def test_a_small_mean_beside_a_large_difference_does_not_print_as_zero() -> None:
    study = known_study(
        CELLS,
        scores(lambda labels: 0.0013 if labels["cell"] == "gru" else 0.16, 0.0001),
        seeds=3,
        task={"metric": "error", "higher_is_better": False, "baseline": 0.17, "solved": 0.01},
    )
    assert re.search(r"gru 0\.0*[1-9]\d*, ", page_text(study)["summary"])


def test_scores_without_any_spread_have_no_interval() -> None:
    assert plus_minus(1.0, 1.0, 1.0) == "1.00"


def test_printed_means_differ_by_the_printed_difference() -> None:
    """.6649 and .6083 are .057 apart: 0.66 and 0.61 would be .05."""
    study = known_study(
        {"cell": ["rnn", "lstm"], "initializer": ["orthogonal", "normal"]},
        scores(lambda labels: 0.6649 if labels["cell"] == "rnn" else 0.6083, 0.0),
        seeds=3,
    )
    (one, *_) = main_effects(study, with_counted(study))
    wide = replace(one, difference=replace(one.difference, low=0.01, high=0.10))
    assert "cell 0.057 [0.010, 0.100] (rnn 0.665, lstm 0.608" in average_words(wide)
