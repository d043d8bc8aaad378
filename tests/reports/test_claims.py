"""Claims: each word by known numbers, and the sentence that a reader gets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reports.analysis.claim_words import sentence
from reports.analysis.claims import judge
from reports.analysis.measures import MEASURES
from reports.data.study import Study
from reports.findings.finding import HOLDS, NOT_DECIDED, NOT_TESTABLE, OPPOSITE, TOO_SMALL
from reports.statistics import share_difference
from study.design.claims import PREDICTORS, SHARE_OF_SOLVED
from study.records import CLAIMED_BY
from tests.reports.known import known_study


def study(
    clip: dict[str, list[float]],
    outcome: str = "solved",
    higher_is_better: bool = True,
    baseline: float = 0.1,
) -> Study:
    return known_study(
        {"clip": list(clip)},
        lambda labels, seed, rng: {
            "score": clip[labels["clip"]][seed],
            "outcome": outcome,
            "ends_solved": outcome == "solved",
            "solved_at": 100.0,
            "updates": 200.0,
        },
        seeds=max(map(len, clip.values())),
        missing=lambda labels, seed: seed >= len(clip[labels["clip"]]),
        task={"higher_is_better": higher_is_better, "baseline": baseline},
    )


def claim(**changes):
    return {
        "statement": "Clipping helps.",
        "when": {"cell": "lstm"},
        "better": {"clip": "norm"},
        "worse": {"clip": "none"},
        "by": "score",
        "least": 0.05,
    } | changes


def test_differences_of_shares_have_newcombes_interval():
    # Newcombe 1998, table II, column (a) of its method 10: 56/70 against 48/80 gives .0524 to .3339
    found = share_difference([1] * 56 + [0] * 14, [1] * 48 + [0] * 32)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(
    ("norm", "none", "word"),
    [
        ([0.80, 0.82, 0.85], [0.50, 0.52, 0.49], HOLDS),
        ([0.80, 0.82, 0.85], [0.79, 0.81, 0.84], NOT_DECIDED),
        ([0.50, 0.52, 0.49], [0.80, 0.82, 0.85], OPPOSITE),
        ([0.801, 0.802, 0.803], [0.800, 0.801, 0.802], TOO_SMALL),
        ([0.9], [0.1], NOT_DECIDED),
    ],
)
def test_words(norm, none, word):
    assert judge(study({"norm": norm, "none": none}), claim()).verdict == word


def test_a_metric_whose_lower_values_are_better_turns_the_difference():
    errors = study(
        {"norm": [0.01, 0.02, 0.015], "none": [0.3, 0.31, 0.29]},
        higher_is_better=False,
        baseline=1.0,
    )
    found = judge(errors, claim())
    assert found.verdict == HOLDS
    assert found.difference.value == pytest.approx(0.285)


def test_lost_points_speak_against_the_side_that_lost_them():
    gone = ["diverged", "silently diverged", "silently diverged"]
    both = known_study(
        {"clip": ["norm", "none"]},
        lambda labels, seed, rng: {
            "score": 0.5,
            "outcome": gone[seed] if labels["clip"] == "none" else "learning",
        },
        seeds=3,
    )
    found = judge(both, claim(by="lost"))
    assert found.verdict == HOLDS
    assert found.difference.value == 1
    assert "0 of 3 (0 %) with clip norm, 3 of 3 (100 %) with clip none" in sentence(found)


def test_a_side_without_points_is_told():
    found = judge(study({"norm": [0.5] * 3, "none": []}), claim())
    assert found.verdict == NOT_TESTABLE
    assert "not testable here, as there is no network yet on clip none." in sentence(found)
    assert math.isnan(found.difference.value)


def test_every_measure_that_a_study_may_name_is_known_to_the_report():
    assert (*MEASURES, "ranking", *PREDICTORS, SHARE_OF_SOLVED) == CLAIMED_BY
    both = study({"norm": [0.5] * 3, "none": [0.1] * 3})
    for name in MEASURES:
        assert np.isfinite(judge(both, claim(by=name)).difference.value)
