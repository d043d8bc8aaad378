"""The benchmark's claims at its own size would take minutes; here they are held with fewer seeds."""

from __future__ import annotations

import statistics

from tests.bench_search import pruners, samplers


def test_tpe_beats_random_at_the_same_budget():
    found = samplers(5, ("random", "tpe"))
    assert statistics.median(found["tpe"]) > statistics.median(found["random"]) + 0.01


def test_pruning_saves_updates_and_loses_nothing_beyond_noise():
    found = pruners(3, noise=0.01)
    assert statistics.median(saved for _, saved in found["median"]) >= 0.3
    assert statistics.median(worth for worth, _ in found["median"]) > statistics.median(worth for worth, _ in found["none"]) - 0.02
    assert all(saved == 0 for _, saved in found["none"])
