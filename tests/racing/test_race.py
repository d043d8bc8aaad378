"""Races on numbers whose truth is known, the short form of `make bench-certain`."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from study.racing.adjusted import flattery
from study.racing.intervals import Arms, pair_bounds, t_critical, weighted_bounds
from study.racing.question import Question
from study.racing.race import (
    ABOVE,
    ANSWERED,
    BELOW,
    CHOSEN,
    HOPELESS,
    OUT,
    OUT_OF_REACH,
    RACING,
    SMALL,
    SPENT,
    fixed,
    race,
    runs,
)
from study.racing.simulated import rehearse
from tests.bench.certain import LOOKS, scenarios, simulate

RACES = 200
SLACK = 2.6 * math.sqrt(0.05 * 0.95 / RACES)  # of a share near 5 %, once in 200 tests
BEST = Question("best", 4, 0.05, 0.1, (3, 5, 8), "cubic", "cubic")


@pytest.mark.parametrize(
    "name", ["null", "variances 10:1, null", "proportions", "correlated seeds", "contrasts"]
)
def test_wrong_decisions_are_as_rare_and_intervals_cover_as_often_as_promised(name):
    (scenario,) = (one for one in scenarios({}) if one.name == name)
    found = simulate(scenario, RACES, 1, against=False)
    assert found.error <= 0.05 + SLACK
    assert min(found.coverage, found.differences) >= 0.94 - SLACK


def test_the_mean_of_what_a_race_names_is_flattered_and_the_adjusted_one_is_not():
    """Where all are alike: by half a spread over seeds; where one is far ahead: by nothing."""
    (null,) = (one for one in scenarios({}) if one.name == "null")
    naive, adjusted = simulate(null, 30, 1, against=False, adjust=15).bias
    assert naive > 0.3 and abs(adjusted) < 0.15, "with standard errors of .03 and .05"
    values = np.array([3.0, 0.0, 0.1, 0.2])[:, None] + np.tile([-0.1, 0.0, 0.1], 3)[:8]
    last = race(BEST, values)[-1].arms
    assert abs(flattery(BEST, last, races=40, seed=0)) < 0.02


def test_variances_of_single_arms_without_their_t_quantile_would_spoil_the_null():
    """The fault that the t quantiles are there for: with normal ones, more races are wrong."""
    values = np.random.default_rng(0).standard_normal((RACES, 12, 4))
    arms = Arms.of(values, shares=False)
    z = np.full(RACES, 3.27)  # of the range of 12 means
    by_t = (pair_bounds(arms, z) > 0).any((-1, -2)).mean()
    pairs = arms.variance[:, :, None] + arms.variance[:, None, :]
    gaps = np.abs(arms.mean[:, :, None] - arms.mean[:, None, :])
    by_normal = (gaps > 3.27 * np.sqrt(pairs / 4)).any((-1, -2)).mean()
    assert by_t <= 0.05 + SLACK < 0.3 < by_normal


def test_an_arm_far_behind_leaves_early_and_gets_no_more_seeds():
    seeds = 0.03 * np.tile([-1.0, 0.0, 1.0], 3)[:8]
    question = replace(BEST, delta=0.03)
    looks = race(question, np.array([0.9, 0.3, 0.88, 0.2])[:, None] + seeds)
    assert looks[-1].arms.n.tolist() == [8, 3, 8, 3]
    assert [look.standing.tolist() for look in looks] == [
        [RACING, OUT, RACING, OUT],
        [RACING, OUT, RACING, OUT],
        [CHOSEN, OUT, RACING, OUT],
    ]
    assert looks[-1].ended == ANSWERED and runs(looks) == 22


def test_noise_of_examples_stops_a_race_that_seeds_cannot_decide():
    values = np.random.default_rng(0).standard_normal((4, 8)) * 0.01 + 0.5
    noise = np.full(4, 0.25 / 20)  # twenty examples
    looks = race(BEST, values, noise)
    assert looks[-1].ended == OUT_OF_REACH and len(looks) == 1
    assert race(BEST, values)[-1].ended == ANSWERED


def test_arms_without_spread_need_as_many_seeds_as_a_permutation_would():
    """Three equal scores are no proof that the fourth would be the same."""
    question = Question("best", 2, 0.05, 0.1, (3, 5, 8), "linear", "linear")
    looks = race(question, np.repeat([[1.0], [0.0]], 8, axis=1))
    assert looks[-1].arms.n.tolist() == [5, 5], "2/C(6, 3) is above the first level, not 2/C(10, 5)"
    assert looks[-1].standing.tolist() == [CHOSEN, OUT]


def test_comparisons_get_one_of_four_verdicts():
    weights = ((1.0, -1.0, 0, 0), (-1.0, 1.0, 0, 0), (0, 0, 1.0, -1.0), (1.0, 0, -1.0, 0))
    question = Question("contrasts", 4, 0.05, 0.1, (5, 10), "linear", "linear", weights=weights)
    values = np.array([0.9, 0.4, 0.6, 0.6])[:, None] + 0.01 * np.random.default_rng(0).normal(
        size=(4, 10)
    )
    values[2] += np.linspace(-0.005, 0.005, 10)
    last = race(question, values)[-1]
    assert last.verdicts.tolist() == [ABOVE, BELOW, SMALL, ABOVE] and last.ended == ANSWERED
    wide = race(question, values + np.linspace(-2, 2, 10) * np.array([1, -1, 1, -1])[:, None])[-1]
    assert wide.ended == SPENT and HOPELESS in wide.verdicts


def test_intervals_are_welchs_and_newcombes():
    values = np.array([[1.0, 2.0, 4.0], [0.0, 0.0, 3.0]])
    arms, z = Arms.of(values, shares=False), np.array(1.96)
    error = math.sqrt(sum(values.var(axis=1, ddof=1) / 3))
    own = values.var(axis=1, ddof=1) / 3
    df = own.sum() ** 2 / (own**2 / 2).sum()
    assert pair_bounds(arms, z)[0, 1] == pytest.approx(4 / 3 - t_critical(z, np.array(df)) * error)
    _, low, high = weighted_bounds(arms, np.array([[1.0, -1.0]]), 1.96)
    assert low[0] == pytest.approx(pair_bounds(arms, z)[0, 1])
    assert high[0] == pytest.approx(-pair_bounds(arms, z)[1, 0])
    # Newcombe (1998), table II, example (a): 56/70 against 48/80 gives .0524 to .3339
    shares = Arms(np.array([70, 80]), np.array([56 / 70, 48 / 80]), *[np.zeros(2)] * 2, shares=True)
    _, low, high = weighted_bounds(shares, np.array([[1.0, -1.0]]), 1.959964)
    assert (f"{low[0]:.4f}", f"{high[0]:.4f}") == ("0.0524", "0.3339")
    # Clopper & Pearson for 81 of 263, the same paper's companion: .2527 to .3676
    shares = Arms(np.array([263]), np.array([81 / 263]), np.zeros(1), np.zeros(1), shares=True)
    _, low, high = weighted_bounds(shares, np.eye(1), 1.959964)
    assert (f"{low[0]:.4f}", f"{high[0]:.4f}") == ("0.2527", "0.3676")


def test_a_rehearsal_finds_the_equal_seeds_that_decide_as_much():
    truth, spread = np.array([0.9, 0.8, 0.3, 0.2]), np.full(4, 0.05)
    question = Question("best", 4, 0.05, 0.05, (3, 4, 5, 6, 8, 12), "cubic", "linear")
    found = rehearse(question, truth, spread, races=100, seed=0, most=18)
    assert found.wrong <= 0.05 and found.answered > 0.9
    assert found.fixed is not None and np.median(found.runs) < 0.8 * 4 * found.fixed
    alike = rehearse(question, truth * 0, spread, races=100, seed=0, most=18)
    assert np.median(alike.runs) <= 4 * alike.fixed, "where nothing differs it costs no more"


def test_trained_scores_are_decided_alike_by_a_race_and_by_twenty_seeds_everywhere():
    """Validation scores of `digits depth=1 seed=range(20)`, trained once: 18 arms, 360 networks."""
    path = Path(__file__).with_name("digits_scores.csv")
    arms = np.genfromtxt(path, delimiter=",", skip_header=1, usecols=0, dtype=str)
    values = np.genfromtxt(path, delimiter=",", skip_header=1)[:, 1:]
    question = Question("best", 18, 0.05, 0.02, LOOKS, "cubic", "linear")
    last, whole = race(question, values)[-1], race(fixed(question, 20), values)[-1]
    assert last.ended == whole.ended == ANSWERED
    assert last.standing.tolist() == whole.standing.tolist()
    assert arms[last.standing == CHOSEN].tolist() == ["rnn orthogonal none"]
    assert last.arms.n.sum() == 121 and values.size == 360
