"""Verdicts and outcomes: one case for each word and each possible mistake."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from study.health.verdicts import OutcomeLimits, Run, opened_at, outcome, spike_update, verdict

LIMITS = OutcomeLimits(
    stuck=0.95, blown=2.0, spike=6.0, radius_jump=1.5, radius_blown=10.0, saturation_jump=0.2
)
LEARNED = Run(
    diverged=False,
    solved=False,
    updates=[0, 1, 2, 3, 4],
    val_loss=[1.0, 0.7, 0.5, 0.4, 0.4],
    baseline_loss=1.0,
    grad_norm=[1.0] * 40,
    radius=[],
    saturation=[],
)


@pytest.mark.parametrize(
    ("first", "last", "word"),
    [
        ("carrying", "carrying", "carries"),
        ("vanishing", "carrying", "opens"),
        ("fading", "carrying", "opens"),
        ("vanishing", "vanishing", "shut"),
        ("carrying", "vanishing", "closes"),
        ("fading", "vanishing", "closes"),
        ("carrying", "exploding", "explodes"),
        ("undefined", "exploding", "explodes"),
        ("fading", "fading", "mixed"),
        ("exploding", "carrying", "mixed"),
        ("vanishing", "fading", "mixed"),
        ("undefined", "carrying", "mixed"),
    ],
)
def test_verdict(first, last, word):
    assert verdict(first, last) == word


def test_opened_at_is_where_it_stays_open():
    def rows(*states):
        return [
            {"update": update, "state": state}
            for update, state in zip((0, 4, 12, 40), states, strict=True)
        ]

    assert opened_at(rows("vanishing", "carrying", "fading", "carrying"), 1) == 40
    assert opened_at(rows("vanishing", "carrying", "carrying", "carrying"), 1) == 4
    assert opened_at(rows("vanishing", "fading", "fading", "fading"), 1) is None


def test_one_of_the_last_three_probes_below_the_limit_closes_nothing_that_their_median_keeps_open():
    def rows(*states):
        return [
            {"update": update, "state": state}
            for update, state in zip((0, 4, 12, 40, 80, 100), states, strict=True)
        ]

    assert (
        opened_at(rows("vanishing", "carrying", "carrying", "carrying", "carrying", "fading"), 3)
        == 4
    )
    assert (
        opened_at(rows("vanishing", "carrying", "carrying", "fading", "carrying", "carrying"), 3)
        == 4
    )
    assert (
        opened_at(rows("vanishing", "carrying", "fading", "fading", "carrying", "carrying"), 3)
        == 80
    )


def test_outcomes():
    assert outcome(LEARNED, LIMITS) == "learning"
    assert outcome(replace(LEARNED, solved=True), LIMITS) == "solved"
    assert outcome(replace(LEARNED, val_loss=[1.0, 0.96, 0.951]), LIMITS) == "stuck"
    assert outcome(replace(LEARNED, val_loss=[1.0, 0.94, 0.99]), LIMITS) == "learning"
    assert outcome(replace(LEARNED, diverged=True, solved=True), LIMITS) == "diverged"


def test_silent_divergence_needs_progress_or_a_spike_and_a_jump():
    back = replace(LEARNED, val_loss=[1.0, 0.5, 0.4, 0.97, 1.2], radius=[1.0, 1.1, 2.5])
    assert outcome(back, LIMITS) == "silently diverged"
    assert outcome(replace(back, solved=True), LIMITS) == "silently diverged"
    assert outcome(replace(back, radius=[1.0, 1.1, 1.2]), LIMITS) == "learning"
    assert outcome(replace(back, radius=[2.0, 1.0, 1.6]), LIMITS) == "silently diverged", (
        "from the lowest it had, not from the first"
    )
    assert (
        outcome(replace(back, radius=[], saturation=[0.1, 0.2, 0.9]), LIMITS) == "silently diverged"
    )
    assert outcome(replace(back, val_loss=[1.0, 0.5, 0.97, 0.4, 0.97]), LIMITS) == "learning", (
        "back only once"
    )
    spiked = [1.0] * 30 + [500.0] + [0.001] * 9
    stuck = replace(back, val_loss=[1.0, 1.0, 1.1, 1.0, 1.2])
    assert outcome(stuck, LIMITS) == "stuck"
    assert outcome(replace(stuck, grad_norm=spiked), LIMITS) == "silently diverged"


def test_a_loss_that_blew_up_before_any_progress_is_silent_divergence():
    """As with large steps: an RNN under SGD at rate 1 ends saturated at 20 times the baseline.

    Every number is finite.
    """
    blown = replace(LEARNED, val_loss=[1.1, 9.0, 8.0, 20.0, 22.0], radius=[1.0, 5.0, 9.0])
    assert outcome(blown, LIMITS) == "silently diverged"
    assert outcome(replace(blown, radius=[1.0, 1.1, 1.2]), LIMITS) == "stuck", "no jump"
    assert outcome(replace(blown, val_loss=[1.1, 9.0, 8.0, 1.9, 22.0]), LIMITS) == "stuck", (
        "it does not stay"
    )
    assert outcome(replace(blown, val_loss=[25.0, 24.0, 23.0, 22.0, 22.0]), LIMITS) == "stuck", (
        "it began there"
    )


def test_weights_that_blew_up_are_silent_divergence_though_the_loss_only_stays_where_it_was():
    """A plain network with too large weights under SGD: radius 2.5 -> 1250, all states saturated.

    The loss stays at 1.05 of the baseline.
    """
    grown = replace(LEARNED, val_loss=[1.2, 1.05, 1.05, 1.03, 1.06], radius=[2.5, 338.0, 1253.0])
    assert outcome(grown, LIMITS) == "silently diverged"
    assert outcome(replace(grown, radius=[2.5, 4.0, 9.0]), LIMITS) == "stuck"
    assert outcome(replace(grown, val_loss=[1.2, 1.0, 0.9, 0.5, 0.3]), LIMITS) == "learning", (
        "large weights that learn are no divergence"
    )


def test_spike_is_told_from_ordinary_growth():
    rng = np.random.default_rng(0)
    calm = np.exp(0.5 * rng.standard_normal(200))
    assert spike_update(calm, 6.0) is None
    calm[120] = 1e4
    assert spike_update(calm, 6.0) == 120
    assert spike_update([math.nan] * 30, 6.0) is None
