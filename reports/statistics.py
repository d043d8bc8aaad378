"""Statistics of the report: values and frames in, values and frames out. Seeds are replicates, arms are described.

Why single arms are not tested: with 3 seeds a side the smallest two-sided p of a permutation test is .10 (unpaired),
so no pair of arms can reach .05, whatever was measured. Arms carry intervals; factors are contrasted over all arms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

Array = np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; n counts what it rests on. NaN where there is none."""

    value: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2


NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


def mean_interval(values: Sequence[float], test_se: Sequence[float] = (), *, level: float = 0.95) -> Estimate:
    """Mean over seeds with a t interval, widened by the test set's own noise, which more seeds do not reduce.

    half² = (t·s/√n)² + (z·se)², se² = mean of the squared standard errors over test examples. One seed has no interval.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    n = len(known)
    if n == 0:
        return NOTHING
    mean = float(known.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    seeds = stats.t.ppf((1 + level) / 2, n - 1) * known.std(ddof=1) / math.sqrt(n)
    return _around(mean, math.hypot(seeds, _noise(test_se, level)), n)


def _noise(test_se: Sequence[float], level: float) -> float:
    se = np.asarray(test_se, dtype=float)
    se = se[np.isfinite(se)]
    return float(stats.norm.ppf((1 + level) / 2) * math.sqrt(np.mean(se**2))) if len(se) else 0.0


def _around(value: float, half: float, n: int) -> Estimate:
    return Estimate(value, value - half, value + half, n)


def wilson(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """A share with Wilson's score interval."""
    if n == 0:
        return NOTHING
    z = float(stats.norm.ppf((1 + level) / 2))
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half), n)


def mean_difference(first: Sequence[float], second: Sequence[float], *, level: float = 0.95) -> Estimate:
    """Mean of the first minus mean of the second, with Welch's t interval; none where a side has one value."""
    a, b = (np.asarray(values, dtype=float) for values in (first, second))
    if not len(a) or not len(b):
        return NOTHING
    value, n = float(a.mean() - b.mean()), len(a) + len(b)
    if len(a) < 2 or len(b) < 2:
        return Estimate(value, math.nan, math.nan, n)
    parts = [one.var(ddof=1) / len(one) for one in (a, b)]
    spread = sum(part**2 / (len(one) - 1) for part, one in zip(parts, (a, b), strict=True))
    if spread == 0:
        return Estimate(value, value, value, n)
    half = float(stats.t.ppf((1 + level) / 2, sum(parts) ** 2 / spread)) * math.sqrt(sum(parts))
    return _around(value, half, n)


def share_difference(first: Sequence[float], second: Sequence[float], *, level: float = 0.95) -> Estimate:
    """Share of ones in the first minus that in the second, with Newcombe's interval from two Wilson intervals (1998, method 10)."""
    if not len(first) or not len(second):
        return NOTHING
    a, b = (wilson(int(np.sum(values)), len(values), level=level) for values in (first, second))
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, low, high, a.n + b.n)


# --- factors ---------------------------------------------------------------------------------------------------


def weighted_arms(points: pd.DataFrame, column: str, weights: Mapping[int, float], *, level: float = 0.95) -> Estimate:
    """Σ w_a · (mean over seeds of arm a), arms being fixed: the interval carries seed noise only.

    Var = Σ w_a² s_a²/n_a with Satterthwaite's degrees of freedom. Arms with one seed lend no variance; none at all: no interval.
    """
    known = points[np.isfinite(points[column].to_numpy(dtype=float))]
    value, variance, spread, n = 0.0, 0.0, 0.0, 0
    enough = True
    for arm, weight in weights.items():
        of_arm = known.loc[known["arm"] == arm, column].to_numpy(dtype=float)
        if not len(of_arm):
            return NOTHING
        n += len(of_arm)
        value += weight * of_arm.mean()
        if len(of_arm) < 2:
            enough = False
            continue
        part = weight**2 * of_arm.var(ddof=1) / len(of_arm)
        variance += part
        spread += part**2 / (len(of_arm) - 1)
    if not enough:
        return Estimate(value, math.nan, math.nan, n)
    freedom = variance**2 / spread if spread else math.inf
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * math.sqrt(variance) if math.isfinite(freedom) else 0.0
    return _around(value, half, n)


def marginal_means(points: pd.DataFrame, column: str, factor: str, levels: Sequence[str]) -> dict[str, Estimate]:
    """Mean of `column` at each level of a factor, every arm of that level with equal weight."""
    known = points[np.isfinite(points[column].to_numpy(dtype=float))]
    means = {}
    for level in levels:
        arms = sorted(known.loc[known[factor] == level, "arm"].unique())
        means[level] = weighted_arms(known, column, {arm: 1 / len(arms) for arm in arms}) if arms else NOTHING
    return means


def widen(estimate: Estimate, se: float, *, level: float = 0.95) -> Estimate:
    """The interval with the noise of a common test set added in quadrature."""
    if not math.isfinite(se) or not math.isfinite(estimate.half):
        return estimate
    return _around(estimate.value, math.hypot(estimate.half, float(stats.norm.ppf((1 + level) / 2)) * se), estimate.n)


@dataclass(frozen=True)
class Gap:
    """The two outermost levels of a factor with their means and the difference, all over the arms that occur at both."""

    high: str
    low: str
    high_mean: float
    low_mean: float
    difference: Estimate


def level_gap(points: pd.DataFrame, column: str, factor: str, levels: Sequence[str], others: Sequence[str]) -> Gap | None:
    """The pair of levels with the largest difference of means over arms that are alike but for this factor; None if there is no such pair.

    Levels that never meet under equal other factors (combinations left out) are not compared: their difference would be the others'.
    """
    known = points[np.isfinite(points[column].to_numpy(dtype=float))]
    arms = known.drop_duplicates("arm")[["arm", factor, *others]]
    keys = [tuple(row) for row in arms[list(others)].itertuples(index=False)]
    at = {level: {key: arm for key, arm, own in zip(keys, arms["arm"], arms[factor], strict=True) if own == level} for level in levels}
    means = known.groupby("arm")[column].mean()
    best: Gap | None = None
    for one, other in itertools.combinations(levels, 2):
        both = [key for key in at[one] if key in at[other]]
        if not both:
            continue
        mean = {level: float(np.mean([means[at[level][key]] for key in both])) for level in (one, other)}
        high, low = sorted((one, other), key=lambda level: -mean[level])
        if best is None or mean[high] - mean[low] > best.high_mean - best.low_mean:
            weights = {at[high][key]: 1 / len(both) for key in both} | {at[low][key]: -1 / len(both) for key in both}
            best = Gap(high, low, mean[high], mean[low], weighted_arms(known, column, weights))
    return best


# --- arms ------------------------------------------------------------------------------------------------------


def count(values: Sequence[object], order: Sequence[str]) -> dict[str, int]:
    """How often each occurs: most frequent first, equals in the given order; nulls are left out."""
    present = [str(value) for value in values if value is not None and value == value]
    return {name: present.count(name) for name in sorted(set(present), key=lambda name: (-present.count(name), list(order).index(name)))}


def one_word(of: Mapping[str, int], *, share: float = 0.8, enough: int = 5) -> str | None:
    """The verdict of an arm: a word where at least `share` of `enough` or more seeds agree, "mixed" where they do not, None below `enough`."""
    total = sum(of.values())
    if total < enough:
        return None
    word, most = next(iter(of.items()))
    return word if most >= share * total else "mixed"


# --- does health predict success? --------------------------------------------------------------------------------


def auc(predictor: Array, success: Array) -> float:
    """Probability that a random success has a larger predictor than a random failure, ties counted half (Mann–Whitney)."""
    return float(_aucs(np.asarray(predictor, dtype=float)[None], np.asarray(success, dtype=bool)[None])[0])


def spearman(x: Array, y: Array) -> float:
    """Correlation of ranks; NaN for fewer than three points, or where one of them is constant."""
    return float(_spearmans(np.asarray(x, dtype=float)[None], np.asarray(y, dtype=float)[None])[0])


def _aucs(predictor: Array, success: Array) -> Array:
    """[R] from [R, n]."""
    good = success.sum(1)
    bad = success.shape[1] - good
    ranks = stats.rankdata(predictor, axis=1) if predictor.size else predictor
    above = (ranks * success).sum(1) - good * (good + 1) / 2
    return np.divide(above, good * bad, out=np.full(len(good), math.nan), where=good * bad > 0)


def _spearmans(x: Array, y: Array) -> Array:
    """[R] from [R, n]."""
    if x.shape[1] < 3:
        return np.full(len(x), math.nan)
    a, b = (stats.rankdata(values, axis=1) for values in (x, y))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), scale, out=np.full(len(x), math.nan), where=scale > 0)


@dataclass(frozen=True)
class Prediction:
    """How well a number tells success (auc) and the score (rho); n points in `arms` arms, `successes` of them."""

    auc: Estimate
    rho: Estimate
    arms: int
    successes: int

    @property
    def predictive(self) -> bool | None:
        """Whether the interval of the AUC lies apart from one half; None where there is no interval."""
        if not math.isfinite(self.auc.low):
            return None
        return self.auc.low > 0.5 or self.auc.high < 0.5


def predict(predictor: Array, success: Array, score: Array, arm: Array, *, draws: int, seed: int, fewest: int = 5) -> Prediction:
    """AUC and Spearman with percentile intervals of a bootstrap over arms: seeds of one arm are drawn together, being alike.

    Below `fewest` arms there is no interval; none of the AUC below `fewest` points of either outcome or two arms that have it; none where under 90 % of draws
    define the statistic.
    """
    known = np.isfinite(predictor) & np.isfinite(score)
    predictor, success, score, arm = (np.asarray(values)[known] for values in (predictor, success, score, arm))
    members = [np.flatnonzero(arm == one) for one in np.unique(arm)]
    values = auc(predictor, success), spearman(predictor, score)
    # A handful of failures in one arm would give an interval of no width around whatever that arm is like.
    enough = all(outcome.sum() >= fewest and len(np.unique(arm[outcome])) >= 2 for outcome in (success.astype(bool), ~success.astype(bool)))
    drawn = np.full((2, draws), math.nan)
    if len(members) >= fewest:
        chosen = np.random.default_rng(seed).integers(0, len(members), (draws, len(members)))
        sizes = np.array([len(rows) for rows in members])
        total = sizes[chosen].sum(1)
        for size in np.unique(total):  # draws of equal size at once: one where every arm has as many seeds
            same = np.flatnonzero(total == size)
            rows = np.stack([np.concatenate([members[one] for one in chosen[draw]]) for draw in same])
            drawn[0, same], drawn[1, same] = _aucs(predictor[rows], success[rows]), _spearmans(predictor[rows], score[rows])
    if not enough:
        drawn[0] = math.nan
    both = [Estimate(value, *_percentiles(row), len(predictor)) for value, row in zip(values, drawn, strict=True)]
    return Prediction(both[0], both[1], len(members), int(np.sum(success)) if len(predictor) else 0)


def _percentiles(row: Array) -> tuple[float, float]:
    known = row[np.isfinite(row)]
    if not len(row) or len(known) < 0.9 * len(row):
        return math.nan, math.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
