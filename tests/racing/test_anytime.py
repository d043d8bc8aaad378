"""Bets against a mean: fair to the last digit, seldom won when they should not be, and enough."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from study.racing.anytime import SHARES, bounds, log_capital, lower_bound, pairs_above
from study.racing.question import Question
from study.racing.race import ANSWERED, CHOSEN, OUT, RACING, race
from study.racing.results import differences, means
from study.racing.simulated import wrong

EVERY = tuple(range(2, 41))
BEST = Question("best", 3, 0.05, 0.1, EVERY, "cubic", "linear", anytime=True)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_all_ways_that_eleven_seeds_may_go_win_a_false_bet_as_seldom_as_promised(share):
    """Of a share of solved seeds, every sequence and its probability: nothing is simulated."""
    ways = np.array(list(itertools.product([0.0, 1.0], repeat=11)))
    chance = np.prod(np.where(ways == 1, share, 1 - share), axis=1)
    money = (1 + SHARES[:, None, None] * (ways - share) / share).prod(-1).mean(0)
    assert chance @ money == pytest.approx(1, rel=1e-12), "a fair bet gains nothing"
    most = log_capital(ways, share)
    assert np.all(most >= np.log(money) - 1e-9)
    for level in (0.2, 0.05, 0.01):
        assert chance @ (most >= -math.log(level)) <= level
        assert chance @ (lower_bound(ways, level) > share) <= level


def test_what_is_held_is_the_best_so_far_of_the_mean_of_all_bets():
    values = np.array([0.9, 0.2, np.nan])
    by_hand = [
        np.mean([np.prod([1 + c * (x - 0.5) / 0.5 for x in values[:n]]) for c in SHARES])
        for n in (1, 2)
    ]
    assert log_capital(values, 0.5) == pytest.approx(math.log(max(by_hand)))
    assert log_capital(values, 0.99) == 0 and log_capital(values, -0.1) == np.inf
    assert log_capital(np.array([np.nan]), 0.5) == 0


def test_bounds_turn_round_and_contrasts_use_the_seeds_that_all_their_arms_have():
    values = np.random.default_rng(0).uniform(0.6, 0.9, (2, 60))
    values[1, 40:] = np.nan
    weights = np.array([[1.0, 0.0], [1.0, -1.0], [-1.0, 1.0], [0.5, 0.5]])
    found, low, high = bounds(values, weights, 0.01, 0.0)
    assert np.all(low < found) and np.all(found < high)
    assert (low[2], high[2]) == (pytest.approx(-high[1]), pytest.approx(-low[1]))
    assert found[1] == pytest.approx((values[0, :40] - values[1, :40]).mean())
    below = bounds(values - 1, weights, 0.01, -1.0)  # a time or an error, turned round
    assert np.allclose(below[1][0], low[0] - 1) and np.allclose(below[2][1], high[1])
    gaps = np.full((2, 2), low[1])
    assert pairs_above(values, gaps)[0, 1] == pytest.approx(-math.log(0.01), abs=1e-6)


def test_a_race_by_bets_looks_after_every_seed_and_is_seldom_wrong():
    generator = np.random.default_rng(0)
    share = np.array([0.95, 0.95, 0.05])
    values = (generator.random((60, 3, 40)) < share[:, None]).astype(float)
    looks = race(BEST, values)
    last = looks[-1]
    assert wrong(BEST, share, last).any(-1).mean() <= 0.05
    assert (last.standing[:, 2] == OUT).all() and (last.standing[:, :2] == RACING).any()
    assert (last.arms.n[:, 2] < 30).mean() > 0.9, "an arm far behind leaves"
    low, high = means(BEST, looks)
    assert ((low <= share) & (share <= high)).all(-1).mean() >= 0.95
    first, low, high = differences(BEST, looks, values)
    gap = share[first][:, None] - share
    assert ((low <= gap) & (gap <= high)).all(-1).mean() >= 0.95
    noisy = race(BEST, values, np.full(3, 1.0))[-1]
    assert (noisy.standing == RACING).all(), "the noise of the examples counts here as well"


def test_a_threshold_and_closeness_are_shown_by_bets():
    values = np.full((3, 40), 0.8) + 0.001 * np.random.default_rng(0).standard_normal((3, 40))
    close = race(replace(BEST, delta=0.3), values)[-1]
    assert close.ended == ANSWERED and (close.standing == CHOSEN).sum() == 1
    question = replace(BEST, decide="threshold", threshold=0.4, delta=0.01)
    assert race(question, values)[-1].verdicts.tolist() == [1, 1, 1]
