"""A sceptic's battery for claims: studies whose truth is known, and what may be said of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from reports.analysis.claim_words import sentence
from reports.analysis.claims import judge
from reports.findings.finding import HOLDS, MIXED, NOT_DECIDED, NOT_TESTABLE, OPPOSITE, TOO_SMALL
from reports.formatting import interval
from tests.reports.known import known_study

CELLS = {"cell": ["rnn", "lstm"], "initializer": ["orthogonal", "normal"]}


def claim(**changes: Any) -> dict[str, Any]:
    return {
        "statement": "Orthogonal is better",
        "better": {"initializer": "orthogonal"},
        "worse": {"initializer": "normal"},
        "by": "score",
        "least": 0.02,
    } | changes


def scored(score, **others):
    def point(labels: Mapping[str, Any], seed: int, rng: np.random.Generator) -> dict[str, Any]:
        return {"score": score(labels) + 0.005 * rng.standard_normal()}

    return known_study(CELLS, point, **others)


@pytest.mark.parametrize(("effect", "word"), [(0.1, HOLDS), (-0.1, OPPOSITE), (0.0, TOO_SMALL)])
def test_an_effect_has_the_word_that_its_interval_allows(effect: float, word: str) -> None:
    study = scored(lambda labels: 0.5 + effect * (labels["initializer"] == "orthogonal"))
    assert judge(study, claim()).verdict == word


def test_smaller_than_what_matters_is_no_refutation() -> None:
    study = scored(lambda labels: 0.5 + 0.008 * (labels["initializer"] == "orthogonal"))
    text = sentence(judge(study, claim()))
    assert "too small to matter here (T = 64)" in text and "refuted" not in text


def test_an_effect_that_changes_its_sign_between_cells_is_mixed() -> None:
    """+.10 for rnn and −.03 for lstm: on average +.035, which holds for neither."""
    study = scored(
        lambda labels: (
            0.5
            + {"rnn": 0.10, "lstm": -0.03}[labels["cell"]] * (labels["initializer"] == "orthogonal")
        )
    )
    found = judge(study, claim())
    assert found.verdict == MIXED
    text = sentence(found)
    assert (
        "mixed here" in text
        and "rnn yes (+0.094 [0.079, 0.110])" in text
        and "lstm no, the opposite" in text
    )


def test_levels_that_a_side_joins_are_not_averaged_either() -> None:
    study = known_study(
        {"cell": ["rnn", "lstm", "gru"]},
        lambda labels, seed, rng: {
            "score": {"rnn": 0.5, "lstm": 0.4, "gru": 0.8}[labels["cell"]]
            + 0.005 * rng.standard_normal()
        },
    )
    found = judge(study, claim(better={"cell": ["lstm", "gru"]}, worse={"cell": "rnn"}))
    assert found.verdict == MIXED
    assert "lstm no, the opposite" in sentence(found) and "gru yes" in sentence(found)


def test_time_decides_nothing_where_nobody_solved() -> None:
    study = scored(lambda labels: 0.5)
    found = judge(study, claim(by="time", least=0.1))
    assert found.verdict == NOT_DECIDED
    assert "No network on either side met the task's rule" in sentence(found)


def test_time_decides_nothing_where_one_side_is_censored_whole() -> None:
    study = scored(lambda labels: 0.95 if labels["initializer"] == "orthogonal" else 0.5)
    found = judge(study, claim(by="time", least=0.1))
    assert found.verdict == NOT_DECIDED and "its time is not known" in sentence(found)


@pytest.mark.parametrize("by", ["lost", "solved", "opens"])
@pytest.mark.parametrize("direction", ["more", "no less"])
def test_an_outcome_that_did_not_occur_decides_nothing(by: str, direction: str) -> None:
    found = judge(scored(lambda labels: 0.5), claim(by=by, least=0.2, direction=direction))
    assert found.verdict == NOT_DECIDED and "the outcome did not occur here" in sentence(found)


@pytest.mark.parametrize("by", ["solved", "carries"])
def test_an_outcome_of_every_network_decides_nothing(by: str) -> None:
    found = judge(scored(lambda labels: 0.95), claim(by=by, least=0.2))
    assert found.verdict == NOT_DECIDED and "nothing tells the sides apart" in sentence(found)


@pytest.mark.parametrize(
    ("score", "words"), [(0.995, "close to a perfect score"), (0.1, "memoryless baseline")]
)
@pytest.mark.parametrize("direction", ["more", "no less"])
def test_scores_at_the_ceiling_or_the_floor_decide_nothing(
    score: float, words: str, direction: str
) -> None:
    study = known_study(
        CELLS, lambda labels, seed, rng: {"score": score + 0.001 * rng.standard_normal()}
    )
    found = judge(study, claim(direction=direction))
    assert found.verdict == NOT_DECIDED and words in sentence(found)


def test_an_error_at_its_floor_decides_nothing() -> None:
    """A mean squared error of .0002 of a baseline of .17 is perfect on both sides."""
    study = known_study(
        CELLS,
        lambda labels, seed, rng: {"score": 0.0002 + 0.00001 * rng.random()},
        task={"metric": "mean squared error", "higher_is_better": False, "baseline": 0.17},
    )
    assert judge(study, claim(least=0.005)).verdict == NOT_DECIDED


def test_a_short_task_cannot_test_a_sentence_about_long_lags() -> None:
    study = scored(lambda labels: 0.5 - 0.2 * (labels["initializer"] == "orthogonal"))
    found = judge(study, claim(lag=100))
    assert found.verdict == NOT_TESTABLE
    assert "lags of 100 steps or more, and the task asks for 64" in sentence(found)
    assert judge(study, claim(lag=50)).verdict == OPPOSITE


def test_a_lag_chooses_the_lengths_that_ask_for_it() -> None:
    """Orthogonal helps at 200 steps only; a claim about long lags is judged there alone."""
    study = known_study(
        {"initializer": ["orthogonal", "normal"], "task.steps": [20, 200]},
        lambda labels, seed, rng: {
            "score": 0.5
            + 0.2 * (labels["initializer"] == "orthogonal") * (labels["task.steps"] == 200)
            + 0.005 * rng.standard_normal()
        },
    )
    found = judge(study, claim(lag=100))
    assert found.verdict == HOLDS and "T = 200" in sentence(found)
    assert judge(study, claim()).verdict == MIXED


def test_an_imbalance_of_missing_points_is_no_effect() -> None:
    """Simpson: within each cell the shares are equal, and pooled they differ by .4."""
    few = {("rnn", "orthogonal"), ("lstm", "normal")}
    study = known_study(
        CELLS,
        lambda labels, seed, rng: {
            "score": 0.5,
            "outcome": "solved" if labels["cell"] == "lstm" else "learning",
            "ends_solved": labels["cell"] == "lstm",
        },
        seeds=20,
        missing=lambda labels, seed: (labels["cell"], labels["initializer"]) in few and seed >= 4,
    )
    found = judge(study, claim(by="solved", least=0.1))
    assert found.difference.value == pytest.approx(0.0) and found.verdict == NOT_DECIDED


def test_silent_divergence_counts_at_the_baseline_and_not_by_the_best_validation() -> None:
    """One of five seeds ends at chance after a best validation of .95."""

    def point(labels, seed, rng):
        gone = labels["initializer"] == "orthogonal" and seed == 0
        return {
            "score": 0.95 + 0.002 * rng.standard_normal(),
            "outcome": "silently diverged" if gone else "solved",
            "ends_solved": not gone,
            "solved_at": 100.0,
        }

    study = known_study(CELLS, point)
    assert judge(study, claim()).difference.value == pytest.approx(-0.17, abs=0.02)
    lost = judge(study, claim(by="solved", least=0.1))
    assert lost.values[0].count(1.0) == 8 and lost.values[1].count(1.0) == 10


def test_what_would_decide_is_said() -> None:
    study = known_study(
        CELLS,
        lambda labels, seed, rng: {
            "score": 0.5
            + 0.03 * (labels["initializer"] == "orthogonal")
            + 0.04 * rng.standard_normal()
        },
        seeds=3,
    )
    found = judge(study, claim())
    assert found.verdict == NOT_DECIDED and "more seed" in sentence(found)


def test_where_the_test_set_limits_no_number_of_seeds_is_named() -> None:
    study = known_study(
        CELLS,
        lambda labels, seed, rng: {"score": 0.5 + 0.022 * (labels["initializer"] == "orthogonal")},
        seeds=20,
        examples=60,
    )
    found = judge(study, claim())
    assert (
        found.verdict == NOT_DECIDED
        and "no number of seeds would decide it" in sentence(found).lower()
    )


@pytest.mark.parametrize(
    ("carry", "solved", "word"),
    [(17, 17, HOLDS), (15, 15, HOLDS), (4, 4, NOT_DECIDED), (8, 17, MIXED), (1, 17, OPPOSITE)],
)
def test_all_or_none_is_judged_as_what_it_says(carry: int, solved: int, word: str) -> None:
    study = known_study(
        {"cell": ["rnn", "lstm"]},
        lambda labels, seed, rng: {
            "score": 0.95 if labels["cell"] == "rnn" and seed < solved else 0.5,
            "D": -1.0 if labels["cell"] == "rnn" and seed < carry else -6.0,
        },
        seeds=20,
    )
    found = judge(
        study, {"statement": "Solved networks carry", "by": "carry_if_solved", "least": 0.1}
    )
    assert found.verdict == word
    assert f"{carry} of {solved} that solved their task carry at the end" in sentence(found)


def test_what_is_left_open_is_said_of_the_levels_that_leave_it_open() -> None:
    """Decided on average, and not for the LSTM, whose seeds differ most: no number of seeds is
    named, since the average needs none.
    """
    study = known_study(
        CELLS,
        lambda labels, seed, rng: {
            "score": 0.5 + (0.3 if labels["cell"] == "lstm" else 0.002) * rng.standard_normal() / 3
        },
        seeds=5,
    )
    found = judge(study, claim(each="cell", direction="no less", least=0.05))
    assert found.verdict == NOT_DECIDED
    assert "For lstm the interval leaves it open." in sentence(found)
    assert "more seed" not in sentence(found)


def associated(strength: float, shift: float, seeds: int = 12, draw: int = 0):
    """D and solving are associated by `strength` within cells, and by `shift` between them."""

    def point(labels, seed, rng):
        good = labels["cell"] == "gru"
        chance = 0.5 + (0.35 if good else -0.35) * (shift > 0)
        solved = rng.random() < chance
        D = -6 + shift * good + strength * solved + rng.standard_normal()
        return {"score": 0.95 if solved else 0.5, "D": D, "state": "carrying"}

    cells = {"cell": ["rnn", "gru"], "initializer": ["orthogonal", "normal", "he"]}
    return known_study(cells, point, seeds=seeds, draw=draw)


def test_an_association_between_cells_is_none_within_them() -> None:
    """Simpson: pooled the AUC is far above one half, within each cell it is one half."""
    claimed = {"statement": "Health tells", "by": "auc_D", "least": 0.1}
    found = judge(associated(0.0, 4.0), claimed)
    assert found.verdict in (NOT_DECIDED, TOO_SMALL)
    assert judge(associated(3.0, 0.0), claimed).verdict == HOLDS
    assert judge(associated(-3.0, 0.0), claimed).verdict == OPPOSITE


def test_the_seeds_that_would_decide_are_those_of_the_interval_itself() -> None:
    """2 of 3 against 0 of 3: Newcombe's 99 % interval leaves 0 out from 7 seeds on."""
    study = known_study(
        {"clip": ["none", "norm"]},
        lambda labels, seed, rng: {"score": 0.95 if labels["clip"] == "norm" and seed else 0.5},
        seeds=3,
    )
    sides = {"better": {"clip": "norm"}, "worse": {"clip": "none"}}
    found = judge(study, claim(**sides, by="solved", least=0.2))

    def low(seeds: int) -> float:
        two_thirds = 2 * seeds / 3
        ends = confint_proportions_2indep(
            two_thirds, seeds, 0, seeds, compare="diff", method="newcomb", alpha=0.01
        )
        return float(ends[0])

    needed = next(seeds for seeds in range(3, 50) if low(seeds) > 0)
    assert f"bout {needed - 3} more seeds per recipe would decide it, as holding" in sentence(found)


def test_what_more_seeds_would_decide_against_a_claim_is_said() -> None:
    study = known_study(
        {"initializer": ["orthogonal", "normal"]},
        lambda labels, seed, rng: {"score": 0.5 + 0.05 * (seed - 1)},
        seeds=3,
    )
    found = judge(study, claim())
    assert "would decide it, as too small to matter (less than 0.020), if" in sentence(found)


def test_a_sentence_has_the_sign_that_its_table_has() -> None:
    study = scored(lambda labels: 0.5 - 0.012 * (labels["initializer"] == "orthogonal"))
    found = judge(study, claim(least=0.05))
    assert found.difference.value < 0
    assert "(in the claim's favour: −0.01" in sentence(found)
    assert "99 % interval [−0.0" in sentence(found)


def test_no_less_that_is_more_is_said_to_be_more() -> None:
    study = scored(lambda labels: 0.5 + 0.2 * (labels["initializer"] == "orthogonal"))
    found = judge(study, claim(direction="no less"))
    assert found.verdict == HOLDS and "It is more than claimed: better here." in sentence(found)


def test_an_interval_does_not_leave_what_a_difference_can_be() -> None:
    study = known_study(
        {"clip": ["none", "norm"]},
        lambda labels, seed, rng: {"score": 1.0 if labels["clip"] == "norm" or seed else 0.0},
        seeds=2,
    )
    found = judge(study, claim(better={"clip": "norm"}, worse={"clip": "none"}))
    assert found.difference.low >= -1 and found.difference.high <= 1


def test_a_level_that_cannot_be_decided_says_why() -> None:
    """At normal weights nobody is better than the baseline: alike, and nothing is shown by it."""
    factors = {"clip": ["none", "norm"], "initializer": ["orthogonal", "normal"]}
    study = known_study(
        factors,
        lambda labels, seed, rng: {
            "score": 0.1
            + 0.5 * (labels["initializer"] == "orthogonal") * (labels["clip"] == "norm")
            + 0.001 * rng.standard_normal()
        },
    )
    found = judge(study, claim(better={"clip": "norm"}, worse={"clip": "none"}))
    assert "neither side got better than the memoryless baseline" in sentence(found)


def test_what_is_left_open_by_another_reason_than_the_interval_says_that_reason() -> None:
    """At one level nobody of a side met the rule; at the other the interval leaves it open."""
    factors = {"cell": ["rnn", "lstm"], "task.permuted": ["no", "yes"]}

    def point(labels: Any, seed: int, rng: np.random.Generator) -> dict[str, Any]:
        never = labels["cell"] == "rnn" and labels["task.permuted"] == "no"
        when = 100.0 + 250 * (seed % 2) + 20 * (labels["cell"] == "lstm")
        met = {"score": 0.95, "ends_solved": True, "solved_at": when}
        return {"score": 0.3, "solved_at": float("nan")} if never else met

    study = known_study(factors, point, seeds=4)
    sides = {"better": {"cell": "lstm"}, "worse": {"cell": "rnn"}}
    found = judge(study, claim(**sides, by="time", least=0.1, each="task.permuted"))
    assert "for permuted no no network on one side met the task's rule" in found.why
    assert "for permuted yes the interval leaves it open" in found.why


def test_an_end_beside_0_is_not_printed_as_0() -> None:
    assert interval(0.0006, 0.9, 2) == "[0.001, 0.900]"
    assert interval(-0.73, -0.0018, 2) == "[−0.730, −0.002]"
    assert interval(-0.0018, 0.9, 2) == "[0.00, 0.90]", "which holds 0 and says so"
    assert interval(0.5004, 0.9, 2, apart=0.5) == "[0.5004, 0.9000]"
