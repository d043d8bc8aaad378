"""Estimates with intervals: means over seeds, shares, differences of two sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

Array = np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A value with its interval over n values; NaN if there is none."""

    value: float
    low: float
    high: float
    n: int

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2


NO_ESTIMATE = Estimate(math.nan, math.nan, math.nan, 0)


def mean_interval(
    values: Sequence[float], test_se: Sequence[float] = (), *, level: float = 0.95
) -> Estimate:
    """Mean over seeds with a t interval, widened by the noise of the test set.

    half² = (t·s/√n)² + (z·se)², se² = mean of the squared standard errors over test examples; more
    seeds do not reduce it. One seed has no interval.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    n = len(known)
    if n == 0:
        return NO_ESTIMATE
    mean = float(known.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    seeds = special.stdtrit(n - 1, (1 + level) / 2) * known.std(ddof=1) / math.sqrt(n)
    return around(mean, math.hypot(seeds, _noise(test_se, level)), n)


def _noise(test_se: Sequence[float], level: float) -> float:
    se = np.asarray(test_se, dtype=float)
    se = se[np.isfinite(se)]
    return float(special.ndtri((1 + level) / 2) * math.sqrt(np.mean(se**2))) if len(se) else 0.0


def around(value: float, half: float, n: int) -> Estimate:
    return Estimate(value, value - half, value + half, n)


def clamp(estimate: Estimate, lowest: float, highest: float) -> Estimate:
    """The part of the interval that is possible for a quantity between these."""
    if not math.isfinite(estimate.half):
        return estimate
    lowest, highest = min(lowest, estimate.value), max(highest, estimate.value)
    low, high = (min(max(end, lowest), highest) for end in (estimate.low, estimate.high))
    return Estimate(estimate.value, low, high, estimate.n)


def clamp_difference(estimate: Estimate, lowest: float, highest: float) -> Estimate:
    """The part of the interval that is possible for a difference of quantities between these."""
    return clamp(estimate, lowest - highest, highest - lowest)


def wilson(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """A share with Wilson's score interval."""
    if n == 0:
        return NO_ESTIMATE
    return _share(successes / n, *_wilson(successes / n, n, level), n)


def _wilson(share: float, n: float, level: float) -> tuple[float, float]:
    """Ends of Wilson's score interval (1927) of a share of n."""
    z = float(special.ndtri((1 + level) / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def _share(share: float, low: float, high: float, n: int) -> Estimate:
    """A share with its interval, whose ends rounding may have put a hair beside 0 or 1."""
    return Estimate(
        share, 0.0 if share == 0 else max(0.0, low), 1.0 if share == 1 else min(1.0, high), n
    )


def share_over_arms(hits: Array, arm: Array, *, level: float = 0.95) -> Estimate:
    """The share of ones among networks of several arms, which are alike within an arm.

    Wilson's interval for as many independent networks as would vary as much as the arms do (Kish's
    effective size, with t for the number of arms, as Korn & Graubard 1998), at most n. All or none
    is as sure as the number of arms. With one arm, Wilson's interval of its networks.
    """
    hits, n = np.asarray(hits, dtype=float), len(hits)
    _, place, sizes = np.unique(arm, return_inverse=True, return_counts=True)
    k = len(sizes)
    if k < 2:
        return wilson(int(hits.sum()), n, level=level)
    share = float(hits.mean())
    by_arm = np.bincount(place, weights=hits) / sizes
    variance = k / (k - 1) * float(((sizes * (by_arm - share)) ** 2).sum()) / n**2
    effective = float(n)
    if share in (0.0, 1.0):
        effective = float(k)
    elif variance > 0:
        ends = (1 + level) / 2
        wider = float(special.ndtri(ends) / special.stdtrit(k - 1, ends)) ** 2
        effective = min(effective, share * (1 - share) / variance * wider)
    return _share(share, *_wilson(share, effective, level), n)


def share_difference(
    first: Sequence[float], second: Sequence[float], *, level: float = 0.95
) -> Estimate:
    """Share of ones in the first minus that in the second.

    Newcombe's interval from two Wilson intervals (1998, method 10).
    """
    if not len(first) or not len(second):
        return NO_ESTIMATE
    sizes = len(first), len(second)
    a, b = (int(np.sum(values)) / n for values, n in zip((first, second), sizes, strict=True))
    ends = [_wilson(share, n, level) for share, n in zip((a, b), sizes, strict=True)]
    (low_a, high_a), (low_b, high_b) = ends
    return Estimate(
        a - b,
        a - b - math.hypot(a - low_a, high_b - b),
        a - b + math.hypot(high_a - a, b - low_b),
        sum(sizes),
    )


def stratified_share_difference(
    blocks: Sequence[tuple[Sequence[float], Sequence[float]]], *, level: float = 0.95
) -> Estimate:
    """Share of ones in the first minus that in the second side, within blocks (pairs of sides).

    Blocks weigh as in Cochran, Mantel and Haenszel; the interval is Newcombe's, of Wilson intervals
    for each side's weighted share with its effective number of points (Yan & Su 2010, without
    their correction for shares that differ between blocks, which would make it narrower). For
    blocks of equal sizes this is `share_difference` of all points.
    """
    blocks = [(first, second) for first, second in blocks if len(first) and len(second)]
    if not blocks:
        return NO_ESTIMATE
    sizes = np.array([[len(first), len(second)] for first, second in blocks], dtype=float)
    shares = np.array([[np.mean(first), np.mean(second)] for first, second in blocks])
    weights = sizes.prod(1) / sizes.sum(1)
    weights /= weights.sum()
    p = weights @ shares
    n = 1 / (weights[:, None] ** 2 / sizes).sum(0)
    z = float(special.ndtri((1 + level) / 2))
    middle, half = (
        (p + z**2 / (2 * n)) / (1 + z**2 / n),
        z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n),
    )
    low, high = np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
    value = float(p[0] - p[1])
    return Estimate(
        value,
        value - math.hypot(p[0] - low[0], high[1] - p[1]),
        value + math.hypot(high[0] - p[0], p[1] - low[1]),
        int(sizes.sum()),
    )


def difference_of(first: Estimate, second: Estimate) -> Estimate:
    """First minus second of two independent estimates (MOVER; Zou & Donner 2008)."""
    value = first.value - second.value
    return Estimate(
        value,
        value - math.hypot(first.value - first.low, second.high - second.value),
        value + math.hypot(first.high - first.value, second.value - second.low),
        first.n + second.n,
    )


def widen(estimate: Estimate, se: float, *, level: float = 0.95) -> Estimate:
    """The interval with the noise of a common test set added in quadrature."""
    if not math.isfinite(se) or not math.isfinite(estimate.half):
        return estimate
    return around(
        estimate.value,
        math.hypot(estimate.half, float(special.ndtri((1 + level) / 2)) * se),
        estimate.n,
    )
