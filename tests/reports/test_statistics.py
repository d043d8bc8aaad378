"""Statistics against scipy, values worked by hand, and simulated coverage at the n where each
interval is used.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.formatting import p_text
from reports.statistics import (
    agreed_word,
    auc,
    count,
    level_gap,
    marginal_means,
    mean_interval,
    predict,
    share_over_arms,
    spearman,
    weighted_arms,
    widen,
    wilson,
)
from reports.statistics.permutation import f_test
from reports.statistics.survival import (
    mean_over_arms,
    restricted_mean,
    unsolved,
    unsolved_over_arms,
)
from reports.statistics.terms import contrast


def test_mean_interval_equals_scipys_t_interval() -> None:
    values = [0.9, 0.85, 0.93]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    of = mean_interval(values)
    assert (of.low, of.high, of.n) == (pytest.approx(low), pytest.approx(high), 3)


def test_test_set_noise_is_added_in_quadrature_and_not_divided_by_seeds() -> None:
    seeds, both = mean_interval([0.5, 0.6, 0.7]), mean_interval([0.5, 0.6, 0.7], [0.02, 0.02, 0.02])
    assert both.half == pytest.approx(math.hypot(seeds.half, stats.norm.ppf(0.975) * 0.02))
    equal = mean_interval([0.5] * 50, [0.02] * 50)
    assert equal.half == pytest.approx(1.959964 * 0.02, rel=1e-5)


def test_one_seed_and_none_have_no_interval() -> None:
    assert math.isnan(mean_interval([0.5], [0.01]).low) and mean_interval([0.5]).value == 0.5
    assert mean_interval([]).n == 0 and math.isnan(mean_interval([math.nan]).value)


def test_wilson_against_known_values() -> None:
    full, none = wilson(3, 3), wilson(0, 10)
    assert full.low == pytest.approx(0.4385, abs=1e-3) and full.high == 1.0
    assert none.low == 0.0 and none.high == pytest.approx(0.2775, abs=1e-3)
    expected = stats.binomtest(17, 40).proportion_ci(method="wilson")
    assert (wilson(17, 40).low, wilson(17, 40).high) == (
        pytest.approx(expected.low),
        pytest.approx(expected.high),
    )


@pytest.mark.parametrize("n", [3, 5])
def test_interval_of_an_arm_covers(n: int) -> None:
    """The mean over seeds of scores that share one test set: 95 % of the intervals hold the truth
    (and not nearly all).
    """
    rng = np.random.default_rng(n)
    hits = 0
    for _ in range(2000):
        common = 0.02 * rng.standard_normal()
        of = mean_interval(0.8 + common + 0.03 * rng.standard_normal(n), [0.02] * n)
        hits += of.low <= 0.8 <= of.high
    assert 0.93 <= hits / 2000 <= 0.985


def test_marginal_interval_covers_at_three_seeds() -> None:
    """Six arms with different means and spreads: the truth is the mean of the arms' means."""
    rng = np.random.default_rng(1)
    means, spread = (
        np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95]),
        np.array([0.02, 0.2, 0.05, 0.1, 0.02, 0.02]),
    )
    frame = pd.DataFrame({"arm": np.repeat(range(6), 3), "cell": "gru"})
    hits = 0
    for _ in range(1000):
        points = frame.assign(
            score=np.repeat(means, 3) + np.repeat(spread, 3) * rng.standard_normal(18)
        )
        of = marginal_means(points, "score", "cell", ["gru"])["gru"]
        hits += of.low <= means.mean() <= of.high
    assert 0.93 <= hits / 1000 <= 0.98


def test_weighted_arms_of_two_is_welch() -> None:
    a, b = [1.0, 2.0, 4.0], [7.0, 7.5, 9.5]
    points = pd.DataFrame({"arm": [0] * 3 + [1] * 3, "score": a + b})
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval()
    of = weighted_arms(points, "score", {1: 1.0, 0: -1.0})
    assert (of.low, of.high) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_level_gap_uses_only_arms_that_occur_at_both_levels() -> None:
    rows = [
        (0, "gru", "1", 0.9),
        (0, "gru", "1", 0.92),
        (1, "rnn", "1", 0.7),
        (1, "rnn", "1", 0.72),
        (2, "gru", "2", 0.1),
        (2, "gru", "2", 0.3),
    ]
    points = pd.DataFrame(rows, columns=["arm", "cell", "depth", "score"])
    gap = level_gap(points, "score", "cell", ["rnn", "gru"], ["depth"])
    assert gap is not None
    assert (gap.high, gap.low) == ("gru", "rnn"), (
        "marginal means have it the other way round, for gru alone has depth 2"
    )
    assert (gap.high_mean, gap.low_mean) == (pytest.approx(0.91), pytest.approx(0.71))
    assert gap.difference.value == pytest.approx(0.2)
    assert (
        level_gap(points[points["arm"] != 0], "score", "cell", ["rnn", "gru"], ["depth"]) is None
    ), "they never meet"


def test_widen_leaves_what_has_no_noise() -> None:
    of = mean_interval([1.0, 2.0])
    assert widen(of, math.nan) == of and widen(of, 1.0).half > of.half


def test_auc_and_spearman_against_scipy() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 40).astype(float), rng.integers(0, 2, 40).astype(bool)
    u = stats.mannwhitneyu(x[y], x[~y]).statistic
    assert auc(x, y) == pytest.approx(u / (y.sum() * (~y).sum()))
    z = x + rng.standard_normal(40)
    assert spearman(x, z) == pytest.approx(stats.spearmanr(x, z).statistic)
    assert math.isnan(auc(x, np.ones(40, dtype=bool))) and math.isnan(spearman(np.ones(40), x))


def test_predict_is_silent_on_noise_and_finds_what_is_there() -> None:
    rng = np.random.default_rng(3)
    arm = np.repeat(np.arange(20), 3)
    found = 0
    for seed in range(200):
        noise = predict(
            rng.standard_normal(60),
            rng.random(60) < 0.5,
            rng.standard_normal(60),
            arm,
            draws=200,
            seed=seed,
        )
        found += bool(noise.predictive)
    assert found <= 26, (
        "the Method section says 5 to 10 %: 13 % of 200 is beyond what chance makes of that"
    )
    D = np.repeat(np.linspace(-10, 0, 20), 3)
    there = predict(
        D, D + rng.standard_normal(60) > -5, D + rng.standard_normal(60), arm, draws=200, seed=0
    )
    assert (
        there.predictive
        and there.auc.value > 0.9
        and there.rho.low > 0.5
        and (there.arms, there.auc.n) == (20, 60)
    )


def test_predict_draws_the_seeds_of_an_arm_together() -> None:
    """Ten copies of each point add no information: the interval must not shrink as it would for
    independent points.
    """
    rng = np.random.default_rng(5)
    D, good = rng.standard_normal(12), np.array([0, 1] * 6, dtype=bool)
    once = predict(D, good, D, np.arange(12), draws=500, seed=1)
    tenfold = predict(
        np.repeat(D, 10),
        np.repeat(good, 10),
        np.repeat(D, 10),
        np.repeat(np.arange(12), 10),
        draws=500,
        seed=1,
    )
    assert tenfold.auc.half == pytest.approx(once.auc.half, rel=0.05)


def test_predict_with_few_arms_or_one_outcome_has_no_interval() -> None:
    few = predict(
        np.arange(6.0),
        np.arange(6) > 2,
        np.arange(6.0),
        np.array([0, 0, 1, 1, 2, 2]),
        draws=50,
        seed=0,
    )
    assert few.predictive is None and few.auc.value == 1.0
    two_failures = predict(
        np.arange(18.0),
        np.arange(18) > 1,
        np.arange(18.0),
        np.repeat(np.arange(6), 3),
        draws=100,
        seed=0,
    )
    assert two_failures.predictive is None and two_failures.auc.value == 1.0, (
        "two failures of one arm prove nothing"
    )
    all_solved = predict(
        np.arange(9.0), np.ones(9, dtype=bool), np.arange(9.0), np.arange(9), draws=50, seed=0
    )
    assert math.isnan(all_solved.auc.value) and all_solved.predictive is None
    unequal = predict(
        np.arange(9.0),
        np.arange(9) > 4,
        np.arange(9.0),
        np.array([0, 0, 1, 2, 3, 4, 5, 5, 5]),
        draws=50,
        seed=0,
    )
    assert math.isfinite(unequal.rho.low)
    nothing = predict(
        np.array([math.nan]), np.array([True]), np.array([1.0]), np.array([0]), draws=10, seed=0
    )
    assert nothing.auc.n == 0


def test_words_of_an_arm() -> None:
    order = ("carries", "opens", "shut")
    assert count(["shut", "opens", "opens", None, math.nan], order) == {"opens": 2, "shut": 1}
    assert agreed_word({"opens": 3}) is None, "three seeds are too few for a word"
    assert (
        agreed_word({"opens": 8, "shut": 2}) == "opens"
        and agreed_word({"opens": 7, "shut": 3}) == "mixed"
        and agreed_word({}) is None
    )


def test_the_smallest_p_there_can_be_is_marked() -> None:
    """Two arms of three seeds wholly apart: 2 of 20 arrangements are as extreme, none is more."""
    term = contrast({0: 1.0, 1: -1.0}, [0, 1], np.zeros(2, dtype=int), "two arms")
    arm = np.array([0, 0, 0, 1, 1, 1])
    apart = f_test(np.array([1.0, 2, 3, 7, 8, 9]), arm, term, draws=1999, seed=0)
    mixed = f_test(np.array([1.0, 2, 8, 7, 3, 9]), arm, term, draws=1999, seed=0)
    equal = f_test(np.ones(6), arm, term, draws=1999, seed=0)
    assert apart.smallest and apart.p == pytest.approx(0.1, abs=0.02)
    assert not mixed.smallest and not equal.smallest and equal.p == 1
    many = np.repeat([0, 1], 20)
    far = f_test(np.arange(40.0) + 40 * many, many, term, draws=1999, seed=0)
    assert far.smallest and p_text(far.p, smallest=far.smallest) == "≤ 0.0005"


def test_p_is_written_with_what_it_is_known_for() -> None:
    assert [p_text(p) for p in (0.0123, 0.0004, 1.0, math.nan)] == [
        "= 0.012",
        "< 0.001",
        "= 1.000",
        "n/a",
    ]
    floors = [p_text(p, smallest=True) for p in (0.1, 1 / 2000, 1 / 10_000, 6 / 10_000)]
    assert floors == ["≤ 0.100", "≤ 0.0005", "≤ 0.0001", "≤ 0.0006"]
    assert p_text(0.10051, smallest=True) == "≤ 0.101", "rounded up, or it would not hold"


def test_networks_of_one_arm_are_not_independent() -> None:
    """Six arms of 20 seeds: three solve always, three never. That is 6 cases and not 120."""
    arm = np.repeat(np.arange(6), 20)
    solved = arm < 3
    over_arms = share_over_arms(solved.astype(float), arm)
    naive = wilson(60, 120)
    assert over_arms.value == 0.5 and over_arms.n == 120
    assert over_arms.high - over_arms.low > 4 * (naive.high - naive.low)
    mixed = np.tile([1.0, 0.0], 60)
    assert share_over_arms(mixed, arm).low == pytest.approx(naive.low), "arms that agree cost none"
    one = share_over_arms(mixed[:20], arm[:20])
    assert (one.low, one.high) == pytest.approx((wilson(10, 20).low, wilson(10, 20).high))
    assert share_over_arms(np.ones(120), arm).low == pytest.approx(wilson(6, 6).low)

    time = np.where(solved, 100.0 + np.tile(np.arange(20), 6), 1000.0)
    mean = mean_over_arms(time, solved, arm, 1000.0)
    alone = restricted_mean(time, solved, 1000.0)
    assert mean.value == alone.value and mean.half > 2 * alone.half
    assert mean.low >= 0 and mean.high <= 1000
    curve, plain = unsolved_over_arms(time, solved, arm), unsolved(time, solved)
    assert curve.share.tolist() == plain.share.tolist()
    assert curve.se[-1] == pytest.approx(math.sqrt(6 / 5 * 6 * 100) / 120)
    assert curve.se[-1] > 3 * plain.se[-1]


def test_intervals_over_arms_hold_what_they_should() -> None:
    """Arms with shares of their own, drawn anew: the interval covers the mean share."""
    rng = np.random.default_rng(0)
    arm, covered = np.repeat(np.arange(12), 5), [0, 0]
    for _ in range(600):
        hits = (rng.random(60) < np.repeat(rng.beta(1, 1, 12), 5)).astype(float)
        for which, one in enumerate((share_over_arms(hits, arm), wilson(int(hits.sum()), 60))):
            covered[which] += one.low <= 0.5 <= one.high
    assert 0.92 <= covered[0] / 600 <= 0.99
    assert covered[1] / 600 < 0.88, "over networks it would not hold"
