"""Intervals of differences between arms, at a critical z of a group-sequential boundary.

The same functions serve one race and thousands of simulated ones: arrays end in [..., arms].
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

GRID = 400  # of the table of t quantiles, in 1/df


@dataclass(frozen=True)
class Arms:
    """What is known of each arm, all [..., arms]: number of seeds `n`, `mean`, and variance.

    `variance` is that over seeds (NaN for one seed). `noise` is the variance of the arm's mean over
    validation examples, which more seeds do not reduce. Of `shares`, values are 0 or 1.
    """

    n: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    noise: np.ndarray
    shares: bool = False
    values: np.ndarray | None = None  # [..., arms, seeds], for bets

    @classmethod
    def of(cls, values: np.ndarray, noise: np.ndarray | float = 0.0, *, shares: bool) -> Arms:
        """From `values` [..., arms, seeds]; NaN is no value."""
        there = np.isfinite(values)
        n = there.sum(-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(there, values, 0.0).sum(-1) / n
            squares = np.where(there, (values - mean[..., None]) ** 2, 0.0).sum(-1)
            variance = np.where(n > 1, squares / (n - 1), np.nan)
        return cls(n, mean, variance, np.broadcast_to(noise, n.shape), shares, values)

    def with_seeds(self, n: int) -> Arms:
        """As if every arm had at least `n` seeds and the mean and variance that it has now."""
        return Arms(np.maximum(self.n, n), self.mean, self.variance, self.noise, self.shares)


def pair_bounds(arms: Arms, z: np.ndarray) -> np.ndarray:
    """Lower bounds [..., i, j] of mean i − mean j; the upper ones are −bounds[j, i].

    `z`: [...], critical values of the normal distribution. Welch's t interval (1947), its quantile
    at the tail of z; with the noise of the examples in quadrature. Shares: Newcombe's interval
    (1998, method 10) at z. −inf on the diagonal, and where neither arm has shown any spread and a
    permutation of so few seeds could not reach the level either.
    """
    difference = arms.mean[..., :, None] - arms.mean[..., None, :]
    if arms.shares:
        low, high = wilson(arms, z)
        up, down = (high - arms.mean) ** 2, (arms.mean - low) ** 2
        bounds = difference - np.sqrt(down[..., :, None] + up[..., None, :])
    else:
        own = arms.variance / arms.n
        error = own[..., :, None] + own[..., None, :]
        parts = own**2 / (arms.n - 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            df = error**2 / (parts[..., :, None] + parts[..., None, :])
            smallest = np.minimum(arms.n[..., :, None], arms.n[..., None, :])
            critical = t_critical(z[..., None, None], np.where(np.isfinite(df), df, 1.0))
            noise = arms.noise[..., :, None] + arms.noise[..., None, :]
            margin = np.sqrt(critical**2 * error + z[..., None, None] ** 2 * noise)
            blind = (error == 0) & (_permutation(smallest) > 2 * special.ndtr(-z[..., None, None]))
        bounds = difference - np.where(blind | np.isnan(margin), np.inf, margin)
    places = np.arange(arms.mean.shape[-1])
    bounds[..., places, places] = -np.inf
    return bounds


def weighted_bounds(
    arms: Arms, weights: np.ndarray, z: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, lower and upper bound [..., contrasts] of Σ w·mean.

    `weights`: [contrasts, arms].

    Welch and Satterthwaite's t interval, the noise of the examples in quadrature. Shares: Zou &
    Donner (2008), which for two arms is Newcombe's interval; of one arm, Clopper & Pearson's
    (1934), as Wilson's covers too seldom far out. Infinite where an arm is missing, and
    where no arm has shown any spread and so few seeds could not reach the level (`pair_bounds`).
    """
    used = weights != 0
    mean = np.where(arms.n > 0, arms.mean, 0.0)
    found = mean @ weights.T
    if arms.shares:
        low, high = wilson(arms, np.asarray(z))
        up = np.nan_to_num(high - mean, nan=np.inf)
        down = np.nan_to_num(mean - low, nan=np.inf)
        plus, minus = np.maximum(weights, 0).T ** 2, np.minimum(weights, 0).T ** 2
        below = np.sqrt(_dot(down**2, plus) + _dot(up**2, minus))
        above = np.sqrt(_dot(up**2, plus) + _dot(down**2, minus))
        alone = used.sum(1) == 1
        if alone.any():
            exact = clopper_pearson(arms, z)
            for row in np.flatnonzero(alone):
                arm = int(np.flatnonzero(used[row])[0])
                ends = [weights[row, arm] * end[..., arm] for end in exact]
                below[..., row] = found[..., row] - np.minimum(*ends)
                above[..., row] = np.maximum(*ends) - found[..., row]
        return found, found - below, found + above
    with np.errstate(invalid="ignore", divide="ignore"):
        own = arms.variance / arms.n
        error = _dot(own, weights.T**2)
        parts = _dot(own**2 / (arms.n - 1), weights.T**4)
        df = np.where(parts > 0, error**2 / parts, 1.0)
        critical = t_critical(np.asarray(z), np.where(np.isfinite(df), df, 1.0))
        margin = np.sqrt(critical**2 * error + z**2 * _dot(arms.noise, weights.T**2))
    smallest = np.where(used, arms.n[..., None, :], np.iinfo(np.int64).max).min(-1)
    blind = (error == 0) & (_permutation(smallest) > 2 * special.ndtr(-z))
    margin = np.where(blind | np.isnan(margin), np.inf, margin)
    return found, found - margin, found + margin


def wilson(arms: Arms, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval (1927) of each arm's share."""
    z, n = z[..., None] if np.ndim(z) else z, arms.n
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (arms.mean + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(arms.mean * (1 - arms.mean) / n + (z / (2 * n)) ** 2)
    return centre - half, centre + half


def clopper_pearson(arms: Arms, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Clopper & Pearson's exact interval (1934) of each arm's share; 0 to 1 without a seed."""
    tail, n = float(special.ndtr(-z)), arms.n
    met = np.rint(np.where(n > 0, arms.mean, 0.0) * n)
    low = np.where(met > 0, special.betaincinv(np.maximum(met, 1), n - met + 1, tail), 0.0)
    high = special.betaincinv(met + 1, np.maximum(n - met, 1), 1 - tail)
    return low, np.where(met < n, high, 1.0)


def t_critical(z: np.ndarray, df: np.ndarray) -> np.ndarray:
    """The t quantile at the tail of each z: as unlikely for t at `df` as z for a normal value.

    Interpolated in 1/df, within 1e-3 of the exact value. `z` may be infinite.
    """
    z, shape = np.asarray(z, dtype=float), np.broadcast_shapes(np.shape(z), np.shape(df))
    df, whole = np.broadcast_to(df, shape), np.broadcast_to(z, shape)
    found = np.full(shape, np.inf)
    for one in np.unique(z[np.isfinite(z)]):
        here = whole == one
        grid, table = _t_table(float(one))
        found[here] = np.exp(np.interp(1 / np.maximum(df[here], 1.0), grid, table))
    return found


@functools.lru_cache(maxsize=4096)
def _t_table(z: float) -> tuple[np.ndarray, np.ndarray]:
    inverse = np.linspace(0.0, 1.0, GRID) ** 2
    found = np.full(GRID, z)
    found[1:] = stats.t.isf(special.ndtr(-z), 1 / inverse[1:])
    return inverse, np.log(np.maximum(found, 1e-12))


def _permutation(n: np.ndarray) -> np.ndarray:
    """The smallest two-sided p of a permutation test of two arms with `n` seeds each."""
    n = np.clip(n, 1, 1000)
    log = special.gammaln(2 * n + 1) - 2 * special.gammaln(n + 1)
    return 2 * np.exp(-log)


def _dot(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """values @ weights, in which 0 · NaN and 0 · inf are 0."""
    finite = np.where(np.isfinite(values), values, 0.0) @ weights
    bad = (~np.isfinite(values)).astype(float) @ (weights != 0).astype(float)
    return np.where(bad > 0, math.inf, finite)
