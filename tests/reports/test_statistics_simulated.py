"""Self-tests of the statistics where the truth is known: null grids, A/A, known effects, and the
coverage of every interval at the n where it is used.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.statistics import mean_interval, share_difference
from reports.statistics.bootstrap import ENOUGH, score_interval, two_way
from reports.statistics.holm import holm
from reports.statistics.improvement import cliffs_delta, improvement
from reports.statistics.permutation import f_test, statistics
from reports.statistics.survival import restricted_mean
from reports.statistics.terms import contrast, terms
from reports.statistics.variance_shares import HIGHER, intervals, shares

pytestmark = pytest.mark.slow

SIMULATIONS = 2000
GRID = {"cell": 3, "initializer": 3, "clip": 2}


def arms_of(levels: dict[str, int]) -> pd.DataFrame:
    rows = list(itertools.product(*(range(n) for n in levels.values())))
    return pd.DataFrame(rows, columns=list(levels)).assign(arm=range(len(rows)))


def covered(hits: int, of: int = SIMULATIONS, low: float = 0.93, high: float = 0.97) -> None:
    assert low <= hits / of <= high, hits / of


@pytest.mark.parametrize(("n", "unequal"), [(2, False), (3, False), (5, False), (3, True)])
def test_null_grids(n: int, unequal: bool) -> None:
    """Nothing varies but seeds: p uniform for every term, family error at most .05 (and what chance
    adds in 400 grids).
    """
    arms, simulations = arms_of(GRID), 400
    rng = np.random.default_rng(n)
    spread = (
        np.exp(rng.uniform(math.log(0.017), math.log(0.19), len(arms)))
        if unequal
        else np.full(len(arms), 0.03)
    )  # sd of a real grid
    values = rng.standard_normal((simulations, len(arms) * n)) * np.repeat(spread, n)
    p = np.array(
        [
            statistics(values, np.repeat(arms["arm"], n).to_numpy(), term, draws=399, seed=1)[1]
            for term in terms(arms, list(GRID))
        ]
    )
    if not unequal:
        for of_term in p:
            assert stats.kstest(of_term, "uniform").pvalue > 1e-3
    assert (p <= 0.05).mean() <= (0.08 if unequal else 0.06)
    first_step = p.min(0) * len(p)  # Holm rejects nothing where its first step does not
    assert holm(list(p[:, 0]))[int(p[:, 0].argmin())] == pytest.approx(min(1.0, first_step[0]))
    assert (first_step <= 0.05).mean() <= (0.095 if unequal else 0.078)


def test_differences_between_blocks_neither_make_nor_hide_an_effect() -> None:
    arms = arms_of({"cell": 2, "depth": 6})
    arm, rng = np.repeat(arms["arm"], 3).to_numpy(), np.random.default_rng(4)
    of_depth = np.repeat(10.0 * arms["depth"].to_numpy(), 3)
    values = of_depth + 0.03 * rng.standard_normal((200, len(arm)))
    cell = terms(arms, ["cell", "depth"])[0]
    assert cell.name == "cell" and len(np.unique(cell.block)) == 6
    assert 0.01 <= (statistics(values, arm, cell, draws=199, seed=0)[1] <= 0.05).mean() <= 0.10
    there = values + np.repeat(0.04 * arms["cell"].to_numpy(), 3)
    assert (statistics(there, arm, cell, draws=199, seed=0)[1] <= 0.05).mean() > 0.95


def test_an_a_a_study_says_no_difference() -> None:
    """One arm under two names, over a grid of real effects: found apart in no more than 5 % of 400
    studies, by test and by interval.
    """
    rng, n = np.random.default_rng(8), 3
    arms = arms_of({"name": 2, "cell": 3, "depth": 2})
    means = 0.1 * arms["cell"].to_numpy() + 0.05 * arms["depth"].to_numpy()
    arm = np.repeat(arms["arm"], n).to_numpy()
    values = np.repeat(means, n) + 0.03 * rng.standard_normal((400, len(arm)))
    weights = {
        int(a): (1 if name == 0 else -1) / 6
        for a, name in zip(arms["arm"], arms["name"], strict=True)
    }
    term = contrast(
        weights, list(arms["arm"]), terms(arms, ["name", "cell", "depth"])[0].block, "A − A"
    )
    assert (statistics(values, arm, term, draws=399, seed=0)[1] <= 0.05).mean() <= 0.075
    pairs = [(arm[arms["name"].to_numpy()[arm] == name]) for name in (0, 1)]
    apart = 0
    for row in values:
        blocks = [
            (row[arm == a], row[arm == b])
            for a, b in zip(np.unique(pairs[0]), np.unique(pairs[1]), strict=True)
        ]
        of = improvement(blocks, higher_is_better=True)
        apart += not of.low <= 0.5 <= of.high
    assert apart / 400 <= 0.07


def test_known_effects_are_recovered() -> None:
    """Shares of a grid with known effects: mean estimate on the truth; noise alone has about none,
    where raw shares would say .17 to .37.
    """
    arms, rng = arms_of(GRID), np.random.default_rng(5)
    size = 0.04 * (arms["cell"] - 1) + 0.02 * (arms["cell"] - 1) * (2 * arms["clip"] - 1)
    parts = {
        "cell": np.var(0.04 * (arms["cell"] - 1)),
        "cell × clip": np.var(size - 0.04 * (arms["cell"] - 1)),
    }
    whole = sum(parts.values()) + 0.03**2
    points = arms.loc[np.repeat(arms.index, 3)].reset_index(drop=True)
    found: dict[str, list[float]] = {}
    nothing: dict[str, list[float]] = {}
    for _ in range(40):
        noise = 0.03 * rng.standard_normal(len(points))
        for into, values in ((found, np.repeat(size.to_numpy(), 3) + noise), (nothing, noise)):
            of = shares(points.assign(y=values), "y", arms, list(GRID), draws=20, seed=1)
            for one in of.terms:
                into.setdefault(one.name, []).append(one.share.value)
    for name, part in parts.items():
        assert np.mean(found[name]) == pytest.approx(part / whole, abs=0.04)
    assert (
        all(np.mean(values) < 0.03 for values in nothing.values())
        and set(nothing) == {*found}
        and HIGHER in found
    )


def test_intervals_of_shares_cover() -> None:
    """Sums of squares drawn from their distributions: three terms of different size, 36 error
    degrees of freedom.
    """
    rng, total, hits, hits_size = np.random.default_rng(6), 54.0, 0, 0
    lam = {"large": 40.0, "small": 6.0, "none": 0.0}
    truth = lam["large"] / (sum(lam.values()) + total)
    squares = {
        name: rng.noncentral_chisquare(2, max(of, 1e-12), SIMULATIONS) for name, of in lam.items()
    }
    noise = rng.chisquare(36, SIMULATIONS) / 36
    for i in range(SIMULATIONS):
        rest = squares["small"][i] + squares["none"][i]
        share, size = intervals(
            squares["large"][i],
            2,
            rest,
            4,
            mse=noise[i],
            error_df=36,
            total=total,
            draws=200,
            seed=i,
        )
        hits += share[0] <= truth <= share[1]
        hits_size += size[0] <= math.sqrt(40 / total) <= size[1]
    covered(hits, low=0.925)
    covered(hits_size, low=0.925)


@pytest.mark.parametrize(
    ("n", "effect", "blocks", "least"),
    [(3, 0.0, 1, 0.97), (3, 1.0, 4, 0.94), (5, 1.0, 1, 0.94), (10, 0.5, 1, 0.93)],
)
def test_p_improve_covers(n: int, effect: float, blocks: int, least: float) -> None:
    """95 % at least; a single pair of arms with three seeds has more, as its values are few."""
    rng, hits = np.random.default_rng(n), 0
    truth = stats.norm.cdf(effect / math.sqrt(2))
    for _ in range(SIMULATIONS):
        of = improvement(
            [(rng.standard_normal(n) + effect, rng.standard_normal(n)) for _ in range(blocks)],
            higher_is_better=True,
        )
        hits += of.low <= truth <= of.high
        assert cliffs_delta(of).value == pytest.approx(2 * of.value - 1)
    assert least <= hits / SIMULATIONS <= 1.0 and (
        (n == 3 and blocks == 1) or hits / SIMULATIONS <= 0.992
    )


@pytest.mark.parametrize(("n", "of_seeds"), [(10, 0.2), (20, 0.2), (10, 1.2)])
def test_the_two_way_bootstrap_covers(n: int, of_seeds: float) -> None:
    """Seeds that differ, examples that differ, and single answers beside: the truth is the mean
    over all seeds and all examples.
    """
    rng, hits = np.random.default_rng(n), 0
    grid = np.linspace(-8, 8, 4001)
    density = stats.norm.pdf(grid, 1.2, math.hypot(of_seeds, 1.8))
    truth = float((density / (1 + np.exp(-grid))).sum() / density.sum())
    for i in range(SIMULATIONS):
        logit = 1.2 + of_seeds * rng.standard_normal((n, 1)) + 1.8 * rng.standard_normal((1, 80))
        of = two_way(
            (rng.random((n, 80)) < 1 / (1 + np.exp(-logit))).astype(float), draws=150, seed=i
        )
        hits += of.low <= truth <= of.high
    covered(hits)


def test_the_interval_of_an_arm_changes_from_t_to_bootstrap_at_ten_seeds() -> None:
    rng = np.random.default_rng(0)
    values = (rng.random((12, 50)) < 0.8).astype(float)
    scores, se = values.mean(1), values.std(1, ddof=1) / math.sqrt(50)
    assert ENOUGH == 10 and score_interval(
        scores[:9], se[:9], values[:9], draws=100, seed=0
    ) == mean_interval(scores[:9], se[:9])
    assert (
        score_interval(scores, se, values, draws=100, seed=0)
        == two_way(values, draws=100, seed=0)
        != mean_interval(scores, se)
    )
    assert score_interval(scores, se, None, draws=100, seed=0) == mean_interval(scores, se)
    same = two_way(np.ones((10, 5)), draws=50, seed=0)
    assert same.low == same.high == 1.0


def test_the_t_interval_covers_at_three_seeds() -> None:
    rng, hits = np.random.default_rng(1), 0
    for _ in range(SIMULATIONS):
        of = mean_interval(0.8 + 0.03 * rng.standard_normal(3))
        hits += of.low <= 0.8 <= of.high
    covered(hits)


def test_differences_of_shares_cover() -> None:
    rng, hits = np.random.default_rng(2), 0
    for _ in range(SIMULATIONS):
        of = share_difference(rng.random(18) < 0.7, rng.random(18) < 0.4)
        hits += of.low <= 0.3 <= of.high
    covered(hits)


def test_the_restricted_mean_covers_where_a_third_is_never_solved() -> None:
    rng, hits = np.random.default_rng(3), 0
    truth = float(np.mean(np.minimum(np.random.default_rng(99).exponential(180, 400_000), 200)))
    for _ in range(SIMULATIONS):
        time = rng.exponential(180, 18)
        of = restricted_mean(time, time <= 200, 200.0)
        hits += of.low <= truth <= of.high
    covered(hits)


def test_what_cannot_be_tested_is_said_so() -> None:
    arms = arms_of({"cell": 2, "depth": 2})
    one_seed = f_test(
        np.arange(4.0), np.arange(4), terms(arms, ["cell", "depth"])[0], draws=99, seed=0
    )
    assert math.isnan(one_seed.p) and one_seed.error_df == 0
    apart = arms.iloc[[0, 3]].reset_index(
        drop=True
    )  # the two arms differ in both factors: neither can be told
    assert [term.df for term in terms(apart, ["cell", "depth"])] == [0, 0, 0]
    holes = arms_of({"cell": 3, "depth": 2}).drop(index=5).reset_index(drop=True)
    assert [term.df for term in terms(holes, ["cell", "depth"])] == [2, 1, 1]
    same = f_test(
        np.full(12, 0.5),
        np.repeat(range(4), 3),
        terms(arms, ["cell", "depth"])[0],
        draws=99,
        seed=0,
    )
    assert (same.F, same.p) == (0.0, 1.0), "values that do not vary show nothing"
    assert (
        shares(
            pd.DataFrame({"arm": [0, 1], "y": [1.0, 2.0]}),
            "y",
            arms.iloc[:2],
            ["depth"],
            draws=10,
            seed=0,
        )
        is None
    )
