"""The benchmark's claims at its own size would take minutes; here they are held
with fewer seeds.
"""

from __future__ import annotations

import statistics

import pytest

from tests.bench.search import missed, pruners, samplers

pytestmark = pytest.mark.slow


def test_tpe_beats_random_at_the_same_budget():
    found = samplers(5, ("random", "tpe"))
    assert statistics.median(found["tpe"]) > statistics.median(found["random"]) + 0.01


def test_pruning_saves_updates_and_loses_nothing_beyond_noise():
    found = pruners(3, noise=0.01)
    assert statistics.median(saved for _, saved in found["median"]) >= 0.3
    assert (
        statistics.median(worth for worth, _ in found["median"])
        > statistics.median(worth for worth, _ in found["none"]) - 0.02
    )
    assert all(saved == 0 for _, saved in found["none"])


def test_the_benchmark_says_which_claim_is_not_met():
    kept = {"none": [(0.99, 0.0)], "median": [(0.985, 0.5)], "hyperband": [(0.99, 0.3)]}
    assert missed({"tpe": [0.9], "random": [0.8]}, kept) == []
    told = missed(
        {"tpe": [0.8], "random": [0.8]},
        {**kept, "median": [(0.9, 0.5)], "hyperband": [(0.99, 0.29)]},
    )
    assert [line.split()[0] for line in told] == ["tpe", "median", "hyperband"]
