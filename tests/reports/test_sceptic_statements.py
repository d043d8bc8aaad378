"""What a second sceptical reader of pages found, as studies whose truth is known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.analysis.arms import with_counted
from reports.analysis.claim_words import sentence
from reports.analysis.claims import judge
from reports.analysis.effect_words import effects_words
from reports.analysis.effects import main_effects
from reports.data.study import Study
from reports.documents.sections import build, declared_sections
from reports.statistics.prediction import predict
from reports.statistics.survival import median_time, unsolved
from tests.reports.known import known_study
from tests.reports.page_text import words


def section_text(study: Study, name: str) -> str:
    """The text of one section of a page."""
    declared = next(one for one in declared_sections() if one.name == name)
    return " ".join(words(build(declared).render(study).blocks))


def test_an_interval_needs_both_outcomes_where_points_are_compared() -> None:
    """Of three cells only the first has both outcomes, in two arms, two failures in all."""
    arm = np.repeat(np.arange(6), 5)
    cell = arm // 2
    success = (cell == 0) & ~np.isin(np.arange(30), [3, 7])
    number = np.random.default_rng(0).standard_normal(30)
    found = predict(number, success, number, arm, draws=1000, seed=1, block=cell)
    assert np.isfinite(found.auc.value) and found.pairs == 16
    assert not np.isfinite(found.auc.low) and found.predictive is None
    of_cell = cell == 0  # enough of either outcome, in two arms that are compared
    many = np.where(of_cell, np.arange(30) % 2 == 0, False)
    few = predict(number, many, number, arm, draws=1000, seed=1, block=cell, fewest=3)
    assert not np.isfinite(few.auc.low)
    pooled = predict(number, success, number, arm, draws=1000, seed=1)
    assert np.isfinite(pooled.auc.low)


def test_clipping_over_the_whole_run_is_the_mean_of_its_networks() -> None:
    """One network of two ends early: 100 % of 100 updates were clipped, and none of 400."""
    updates = {0: 100, 1: 400}
    ids = [f"{number:016x}" for number in range(4)]
    history = pd.concat(
        [
            pd.DataFrame(
                {
                    "id": id,
                    "update": range(updates[number % 2]),
                    "grad_norm": 2.0,
                    "clip_scale": 0.5 if number % 2 == 0 else 1.0,
                }
            )
            for number, id in enumerate(ids)
        ]
    )
    history.loc[(history["id"] == ids[1]) & (history["update"] == 0), "clip_scale"] = 0.5
    history.loc[(history["id"] == ids[3]) & (history["update"] == 0), "clip_scale"] = 0.5
    rate = (history["clip_scale"] != 1).groupby(history["id"]).mean()

    def point(labels: Mapping[str, Any], seed: int, rng: np.random.Generator) -> dict[str, Any]:
        number = 2 * (labels["cell"] == "gru") + seed
        made = {"updates_done": float(updates[seed]), "clip_rate": float(rate[ids[number]])}
        return {"score": 0.9, **made}

    study = known_study({"cell": ["lstm", "gru"]}, point, seeds=2, tables={"history": history})
    text = section_text(study, "clipping")
    whole = text[text.index("Over the whole run") : text.index("Clipping by phase")]
    assert re.search(r"lstm \| \w+ \| 50 %", whole), whole


ALL = {
    "statement": "Networks that solved their task carry at the end",
    "by": "carry_if_solved",
    "least": 0.1,
}


@pytest.mark.parametrize(("arms", "seeds", "which"), [(4, 5, "arms"), (1, 4, "networks")])
def test_more_of_what_limits_would_decide_a_share(arms: int, seeds: int, which: str) -> None:
    """All of 20 carry, in 4 arms that are as one network each: no number of seeds decides it."""
    levels = [f"level{number}" for number in range(arms)]
    study = known_study({"readout": levels}, lambda *_: {"score": 0.95, "D": -1.0}, seeds=seeds)
    text = sentence(judge(study, ALL))
    assert "not decided" in text
    assert ("ore recipes would decide it" in text) == (which == "arms")
    assert ("ore solved networks would decide it" in text) == (which == "networks")


def test_the_median_time_is_the_middle_of_two_where_the_curve_is_at_one_half() -> None:
    times = np.array([1650.0, 1200.0, 1750.0, 1100.0, 1150.0, 2000.0])
    assert median_time(unsolved(times, np.ones(6, bool))) == np.median(times) == 1425
    half = unsolved(np.array([1.0, 2.0, 9.0, 9.0]), np.array([True, True, False, False]))
    assert median_time(half) == 2, "nothing is known of the other half"


def test_the_smallest_p_is_printed_as_it_is() -> None:
    study = known_study(
        {"cell": ["rnn", "lstm", "gru"]},
        lambda labels, seed, rng: {"score": rng.random()},
        seeds=10,
    )
    text = section_text(study, "contrasts")
    assert "cannot go below p = 0.000;" not in text and "p = 1.1e-05" in text


def test_a_bar_beside_0_shows_nothing_alone() -> None:
    study = known_study(
        {"cell": ["rnn", "lstm"]}, lambda labels, seed, rng: {"score": rng.random()}
    )
    text = section_text(study, "contrasts")
    assert "touch 0 shows a difference, and" not in text
    assert "if the corrected p" in text


def unequal_spread(
    labels: Mapping[str, Any], seed: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Two levels that are always as good, and one that mostly is, but for two of six seeds."""
    low = {"identity": [0.0, 0.0, 0.0, -0.12, 0.0, -0.5]}.get(labels["initializer"], [0.0] * 6)
    return {"score": 0.95 + low[seed] + 0.0005 * seed * (labels["initializer"] == "normal")}


def test_what_differs_in_spread_is_not_said_to_differ_in_its_mean() -> None:
    study = known_study(
        {"initializer": ["identity", "orthogonal", "normal"]}, unequal_spread, seeds=6
    )
    effects = main_effects(study, with_counted(study))
    assert not effects[0].difference.low > 0
    assert effects[0].shown, "permutation rejects equal distributions"
    text = effects_words(study, effects)
    assert "differ in their results, not in their mean" in text
    assert "though the interval has 0 in it" not in text
    told = section_text(study, "contrasts")
    assert "in their results, not in their mean" in told


LENGTHS = {"task": ["copying"], "task.steps": ["50", "1000"]}


def test_facts_that_differ_between_lengths_are_a_range() -> None:
    def point(labels: Mapping[str, Any], seed: int, rng: np.random.Generator) -> dict[str, Any]:
        steps = int(labels["task.steps"])
        return {"score": 0.5, "steps": steps, "lag": steps - 10, "baseline_loss": 20.8 / steps}

    study = known_study(LENGTHS, point, task={"steps": 1000, "lag": None, "baseline_loss": 0.0208})
    text = section_text(study, "design")
    assert "50 to 1,000 steps" in text and "longest lag asked for 40 to 990" in text
    assert "loss 0.021 to 0.416" in text and "1000 steps," not in text
    assert text.count("The task copying") == 1


TIME = {
    "statement": "A penalty is sooner",
    "better": {"penalty": "pascanu"},
    "worse": {"penalty": "none"},
    "by": "time",
    "least": 0.1,
}


def test_a_mean_time_names_those_that_never_met_the_rule() -> None:
    def point(labels: Mapping[str, Any], seed: int, rng: np.random.Generator) -> dict[str, Any]:
        never = labels["penalty"] == "none" and seed < 4
        at = 100.0 + 5 * seed + 50 * (labels["penalty"] == "none")
        return {"score": 0.1 if never else 0.95} | ({} if never else {"solved_at": at})

    study = known_study({"penalty": ["none", "pascanu"]}, point, seeds=10)
    text = sentence(judge(study, TIME))
    assert "4 of 10 never met it and count as the whole run" in text
    assert text.count("never met it") == 1, "of the side where all did nothing is said"


def test_shares_of_sides_of_unequal_blocks_are_as_the_effect_weighs_them() -> None:
    """10 networks against 10 where 9 and 1 solved it, and 10 against 2 where none did."""

    def point(labels: Mapping[str, Any], seed: int, rng: np.random.Generator) -> dict[str, Any]:
        solved = labels["clip"] == "norm" and (seed < 9 if labels["cell"] == "lstm" else seed < 1)
        return {"score": 0.95 if solved else 0.5 + 0.01 * rng.random()}

    study = known_study(
        {"cell": ["rnn", "lstm"], "clip": ["norm", "none"]},
        point,
        seeds=10,
        missing=lambda labels, seed: [*labels.values()] == ["rnn", "none"] and seed > 1,
    )
    claim = {"statement": "Gates solve it", "better": {"cell": "lstm"}, "worse": {"cell": "rnn"}}
    text = sentence(judge(study, {**claim, "by": "solved", "least": 0.1}))
    assert "9 of 20 (45 %; 68 % as the effect weighs them) with lstm" in text, text
    assert "1 of 12 (8 %) with rnn" in text, text


def test_the_sides_of_a_claim_differ_by_its_effect() -> None:
    """The plain cell's arms have 10 networks at one length and 2 at the other."""

    def point(labels: Mapping[str, Any], seed: int, rng: np.random.Generator) -> dict[str, Any]:
        low = {"rnn": -8.0, "lstm": -2.0}[labels["cell"]] * (1 + 9 * (labels["clip"] == "none"))
        return {"score": 0.5, "D": low + 0.01 * rng.standard_normal()}

    study = known_study(
        {"cell": ["rnn", "lstm"], "clip": ["norm", "none"]},
        point,
        seeds=10,
        missing=lambda labels, seed: (
            labels["clip"] == "none" and labels["cell"] == "rnn" and seed > 1
        ),
    )
    claim = {
        "statement": "Gates carry",
        "better": {"cell": "lstm"},
        "worse": {"cell": "rnn"},
        "by": "D",
        "least": 1.0,
    }
    text = sentence(judge(study, claim)).replace("−", "-")
    better, worse = re.search(r"at the end: (\S+) \(sd .* with lstm, (\S+) \(sd ", text).groups()
    favour = re.search(r"favour: \+(\S+),", text)[1]
    assert float(better) - float(worse) == pytest.approx(float(favour), abs=0.02), text
