"""The mean score of an arm with many seeds: both seeds and test examples are resampled."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from reports.statistics.estimates import Array, Estimate, mean_interval

# Seeds from which the bootstrap has its nominal coverage (n = 3: 68 %); t intervals have it below.
ENOUGH = 10


def two_way(values: Array, *, draws: int, seed: int, level: float = 0.95) -> Estimate:
    """Mean of values [seeds, examples], with a bootstrap interval over both (Owen 2007).

    Resampling both counts the noise of single answers three times, and ten seeds drawn from ten
    vary less than new ones. So the bootstrap gives the shape, and the variance components the
    width: V = (MS_s + MS_e − MS_se)/(n·E), with t of Satterthwaite's degrees of freedom.
    """
    n, examples = values.shape
    of_seeds, of_examples = _shares(n, examples, draws, seed)
    means = ((of_seeds @ values) * of_examples).sum(1)
    mean, spread = float(values.mean()), float(means.std())
    if spread == 0:
        return Estimate(mean, mean, mean, n)
    variance, df = components(values)
    stretch = (
        math.sqrt(variance)
        / spread
        * float(special.stdtrit(df, (1 + level) / 2) / special.ndtri((1 + level) / 2))
    )
    low, high = (np.quantile(means, [(1 - level) / 2, (1 + level) / 2]) - means.mean()) * stretch
    return Estimate(mean, mean + float(low), mean + float(high), n)


@functools.lru_cache(maxsize=2)
def _shares(n: int, examples: int, draws: int, seed: int) -> tuple[Array, Array]:
    """Share of each seed and example in each draw; the same for every arm of a study."""
    rng = np.random.default_rng(seed)
    return (
        rng.multinomial(n, np.full(n, 1 / n), draws) / n,
        rng.multinomial(examples, np.full(examples, 1 / examples), draws) / examples,
    )


def components(values: Array) -> tuple[float, float]:
    """Variance of the mean of values [seeds, examples] over new seeds and examples, with its df.

    Degrees of freedom by Satterthwaite (1946).
    """
    n, examples = values.shape
    by_seed, by_example, mean = values.mean(1), values.mean(0), values.mean()
    of_seeds, of_examples = examples * by_seed.var(ddof=1), n * by_example.var(ddof=1)
    rest = float(((values - by_seed[:, None] - by_example + mean) ** 2).sum()) / (
        (n - 1) * (examples - 1)
    )
    beyond = max(of_examples - rest, 0.0)
    df = (
        (of_seeds + beyond) ** 2 / (of_seeds**2 / (n - 1) + beyond**2 / (examples - 1))
        if of_seeds + beyond
        else math.inf
    )
    return float((of_seeds + beyond) / (n * examples)), float(df)


def score_interval(
    scores: Sequence[float],
    test_se: Sequence[float],
    by_example: Array | None,
    *,
    draws: int,
    seed: int,
) -> Estimate:
    """The interval for this number of seeds: t with the test set's noise, or the two-way bootstrap.

    The bootstrap needs ENOUGH seeds and results by example.
    """
    if (
        by_example is not None
        and len(by_example) >= ENOUGH
        and by_example.shape[1] > 1
        and np.isfinite(by_example).all()
    ):
        return two_way(by_example, draws=draws, seed=seed)
    return mean_interval(scores, test_se)
