"""Does transport D predict success: which D is read when, what counts as success; and what a
clip rule is called by how often it fires.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from reports.analysis.associations import at_share, prediction
from reports.sections.clipping import Clipping


def fake() -> SimpleNamespace:
    """Two points of 400 and 100 updates, probed at other updates; the D of the end is a median and
    not that of the last probe.
    """
    stored = pd.DataFrame({"id": ["a", "b"], "updates": [400.0, 100.0], "D": [-0.5, -7.0]})
    rows = [("a", at, -10.0 + n) for n, at in enumerate((0, 4, 12, 40, 120, 400))] + [
        ("b", at, -20.0 + n) for n, at in enumerate((0, 9, 13, 100))
    ]
    states = pd.DataFrame(
        [(id, "network", at, D) for id, at, D in rows]
        + [(id, "1", at, 99.0) for id, at, _ in rows],
        columns=["id", "layer", "update", "D"],
    )
    return SimpleNamespace(stored=stored, table={"states": states}.__getitem__)


def test_D_is_of_the_network_at_the_nearest_probe_and_the_judged_one_at_the_end():
    assert at_share(fake(), 0).to_dict() == {"a": -10.0, "b": -20.0}
    assert at_share(fake(), 0.1).to_dict() == {"a": -7.0, "b": -19.0}
    assert at_share(fake(), 1).to_dict() == {"a": -0.5, "b": -7.0}


def test_success_is_solved_and_a_point_without_D_is_not_counted():
    outcomes = ["solved", "learning", "solved", "stuck", "silently diverged", "solved"]
    points = pd.DataFrame(
        {
            "id": list("abcdef"),
            "task": "digits",
            "outcome": outcomes,
            "counted": [0.9, 0.5, 0.8, 0.1, 0.1, 0.95],
            "arm": range(6),
        }
    )
    D = pd.Series({"a": 0.0, "b": -5.0, "c": -4.0, "d": -1.0, "e": -9.0, "f": np.nan})
    found = prediction(
        SimpleNamespace(higher_is_better=True, for_listing=lambda every: every), points, D, 20
    )
    assert (found.auc.n, found.successes, found.arms) == (5, 2, 5)
    assert found.auc.value == pytest.approx(5 / 6), "of the six pairs one is the wrong way round"


def test_a_rule_is_called_by_how_often_it_fires():
    rule = Clipping(
        inert=0.01, guard=0.30, limiter=0.90, phases={"whole": [0, 1]}, turned=0.999, bins=4
    )
    words = {
        0.0: "inert",
        0.0099: "inert",
        0.01: "guard",
        0.30: "guard",
        0.31: "frequent",
        0.90: "frequent",
        0.91: "limiter",
        1.0: "limiter",
    }
    assert {rate: rule.kind(rate) for rate in words} == words
    assert all(
        rule.word(rate).startswith(
            {"limiter": "a limiter", "guard": "a guard", "frequent": "between"}.get(word, word)
        )
        for rate, word in words.items()
    )
