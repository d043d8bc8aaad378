"""Levels of a factor over fixed arms: means, weighted sums, the largest gap between two levels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from reports.statistics.estimates import NO_ESTIMATE, Estimate, around


def weighted_arms(
    points: pd.DataFrame, column: str, weights: Mapping[int, float], *, level: float = 0.95
) -> Estimate:
    """Σ w_a · (mean over seeds of arm a), as in `weighted_values`."""
    return weighted_values(values_by_arm(points, column), weights, level=level)


def values_by_arm(points: pd.DataFrame, column: str) -> dict[int, np.ndarray]:
    """The finite values of a column by arm."""
    known = points[np.isfinite(points[column].to_numpy(dtype=float))]
    return {int(arm): own.to_numpy(dtype=float) for arm, own in known.groupby("arm")[column]}


def weighted_values(
    by_arm: Mapping[int, np.ndarray], weights: Mapping[int, float], *, level: float = 0.95
) -> Estimate:
    """Σ w_a · (mean over seeds of arm a), for fixed arms: the interval has seed noise only.

    Var = Σ w_a² s_a²/n_a with Satterthwaite's degrees of freedom. No interval if an arm has one
    seed.
    """
    value, variance, spread, n = 0.0, 0.0, 0.0, 0
    enough = True
    for arm, weight in weights.items():
        of_arm = by_arm.get(arm, np.array([]))
        if not len(of_arm):
            return NO_ESTIMATE
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
    half = (
        float(special.stdtrit(freedom, (1 + level) / 2)) * math.sqrt(variance)
        if math.isfinite(freedom)
        else 0.0
    )
    return around(value, half, n)


def marginal_means(
    points: pd.DataFrame, column: str, factor: str, levels: Sequence[str]
) -> dict[str, Estimate]:
    """Mean of `column` at each level of a factor, its arms weighing equally."""
    known = points[np.isfinite(points[column].to_numpy(dtype=float))]
    means = {}
    for level in levels:
        arms = sorted(known.loc[known[factor] == level, "arm"].unique())
        means[level] = (
            weighted_arms(known, column, {arm: 1 / len(arms) for arm in arms})
            if arms
            else NO_ESTIMATE
        )
    return means


@dataclass(frozen=True)
class Gap:
    """The two levels of a factor that are furthest apart: means and difference, over shared
    settings. `arms`: how many of both levels are compared; `of`: how many there are.
    """

    high: str
    low: str
    high_mean: float
    low_mean: float
    difference: Estimate
    arms: int
    of: int


def level_gap(
    points: pd.DataFrame, column: str, factor: str, levels: Sequence[str], others: Sequence[str]
) -> Gap | None:
    """The pair of levels with the largest difference of means; None if there is no pair.

    Over arms that are alike but for this factor. Levels that never occur with the same other
    factors are not compared, since their difference would be that of the others.
    """
    known = points[np.isfinite(points[column].to_numpy(dtype=float))]
    arms = known.drop_duplicates("arm")[["arm", factor, *others]]
    keys = [tuple(row) for row in arms[list(others)].itertuples(index=False)]
    at = {
        level: {
            key: arm
            for key, arm, own in zip(keys, arms["arm"], arms[factor], strict=True)
            if own == level
        }
        for level in levels
    }
    means = known.groupby("arm")[column].mean()
    best: Gap | None = None
    for one, other in itertools.combinations(levels, 2):
        both = [key for key in at[one] if key in at[other]]
        if not both:
            continue
        mean = {
            level: float(np.mean([means[at[level][key]] for key in both])) for level in (one, other)
        }
        high, low = sorted((one, other), key=lambda level: -mean[level])
        if best is None or mean[high] - mean[low] > best.high_mean - best.low_mean:
            weights = {at[high][key]: 1 / len(both) for key in both} | {
                at[low][key]: -1 / len(both) for key in both
            }
            gap = weighted_arms(known, column, weights)
            there = len(at[one]) + len(at[other])
            best = Gap(high, low, mean[high], mean[low], gap, len(weights), there)
    return best
