"""Claims: each word by known numbers, and the sentence that a reader gets."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from reports.analysis.claims import judge
from reports.analysis.measures import MEASURES
from reports.sections.claims import sentence
from reports.statistics import share_difference
from study.design.claims import PREDICTORS
from study.records import CLAIMED_BY


def study(
    clip: dict[str, list[float]], outcome: str = "solved", higher_is_better: bool = True
) -> SimpleNamespace:
    rows = [
        {
            "arm": arm,
            "clip": name,
            "score": score,
            "val_score": score,
            "train_score": score,
            "outcome": outcome,
            "status": "done",
        }
        for arm, (name, scores) in enumerate(clip.items())
        for score in scores
    ]
    points = pd.DataFrame(rows).assign(
        baseline=0.1,
        verdict="opens",
        state="carrying",
        D_init=-5.0,
        D=-1.0,
        solved_at=100.0,
        updates=200.0,
        updates_done=200.0,
    )
    points["id"] = [f"{number:04x}" for number in range(len(points))]
    factors = {"clip": list(clip)}
    arms = pd.DataFrame({"arm": range(len(clip)), "clip": list(clip)})
    made = SimpleNamespace(
        stored=points,
        constant={"cell": "lstm"},
        higher_is_better=higher_is_better,
        factors=factors,
        arms=arms,
        tasks={},
        matrix_factors=("clip", "cell"),
    )
    made.levels = lambda key: factors.get(key) or [made.constant.get(key, "–")]
    made.table = lambda name: pd.DataFrame()
    made.cached = lambda name, make: make()
    return made


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
        ([0.80, 0.82, 0.85], [0.50, 0.52, 0.49], "supported"),
        ([0.80, 0.82, 0.85], [0.79, 0.81, 0.84], "inconclusive"),
        ([0.50, 0.52, 0.49], [0.80, 0.82, 0.85], "refuted"),
        (
            [0.801, 0.802, 0.803],
            [0.800, 0.801, 0.802],
            "refuted",
        ),  # shown to be smaller than what matters
        ([0.9], [0.1], "inconclusive"),
    ],
)
def test_words(norm, none, word):
    assert judge(study({"norm": norm, "none": none}), claim()).verdict == word


def test_a_metric_whose_lower_values_are_better_turns_the_difference():
    errors = study({"norm": [0.01, 0.02, 0.015], "none": [0.3, 0.31, 0.29]}, higher_is_better=False)
    errors.stored["baseline"] = 1.0
    found = judge(errors, claim())
    assert found.verdict == "supported"
    assert found.difference.value == pytest.approx(0.285)


def test_lost_points_speak_against_the_side_that_lost_them():
    both = study({"norm": [0.5] * 3, "none": [0.1] * 3})
    both.stored["outcome"] = ["learning"] * 3 + [
        "diverged",
        "silently diverged",
        "silently diverged",
    ]
    found = judge(both, claim(by="lost"))
    assert found.verdict == "supported"
    assert found.difference.value == 1
    assert "0 of 3 (0 %) with clip norm, 3 of 3 (100 %) with clip none" in sentence(found)


def test_a_side_without_points_is_told():
    found = judge(study({"norm": [0.5] * 3}), claim())
    assert found.verdict == "inconclusive"
    assert "There is no point yet on clip none." in sentence(found)
    assert math.isnan(found.difference.value)


def test_every_measure_that_a_study_may_name_is_known_to_the_report():
    assert (*MEASURES, "ranking", *PREDICTORS) == CLAIMED_BY
    both = study({"norm": [0.5] * 3, "none": [0.1] * 3})
    for name in MEASURES:
        assert np.isfinite(judge(both, claim(by=name)).difference.value)
