"""What a number of seeds can resolve: known before anything is trained, and needed by the plan and
by the report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

POWER, LEVEL = 0.80, 0.05  # chance to find what is there; chance to find what is not
MOST = 10_000  # seeds an arm beyond which nobody goes


def noncentrality(df: float, level: float, power: float) -> float:
    """Difference in standard errors that a two-sided t test at `level` finds with probability
    `power`.
    """
    from scipy import optimize, stats  # a second to import, and every launch imports this file

    edge = float(stats.t.ppf(1 - level / 2, df))

    def short(delta: float) -> float:
        return float(stats.nct.sf(edge, df, delta) + stats.nct.cdf(-edge, df, delta)) - power

    high = edge + 3.0
    while short(high) < 0:
        high *= 1.5
    return float(optimize.brentq(short, 0.0, high))


def resolvable(
    weights: Sequence[float], seeds: int, df: float, *, level: float = LEVEL, power: float = POWER
) -> float:
    """Smallest Σ w·mean, in standard deviations over seeds, found with probability `power`; Inf
    where there is no spread to compare with (df < 1).

    weights: of the arms' means; df: of the estimate of that standard deviation. A pair of arms: (1,
    −1), df = 2(n − 1).
    """
    return (
        noncentrality(df, level, power) * math.sqrt(sum(weight**2 for weight in weights) / seeds)
        if df >= 1
        else math.inf
    )


def seeds_for(
    difference: float,
    weights: Sequence[float],
    df_per_seed: int,
    *,
    level: float = LEVEL,
    power: float = POWER,
) -> int | None:
    """Smallest number of seeds an arm that resolves a difference, in standard deviations; df =
    df_per_seed·(n − 1). None beyond 10,000.
    """
    if not difference > 0:
        return None

    def enough(seeds: int) -> bool:
        df = df_per_seed * (seeds - 1)
        return resolvable(weights, seeds, df, level=level, power=power) <= difference

    high = 2
    while not enough(high):
        high *= 2
        if high > MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if middle >= 2 and enough(middle) else (middle, high)
    return high


def smallest_p(seeds: int) -> float:
    """Of a two-sided permutation test of two arms: two of all orders are as extreme as can be."""
    return min(1.0, 2 / math.comb(2 * seeds, seeds))


def seeds_to_test(tests: int, *, level: float = LEVEL) -> int:
    """Seeds an arm from which a permutation test of two arms can reach `level` at all when it is
    one of `tests` (Holm's first step).
    """
    seeds = 2
    while smallest_p(seeds) > level / tests:
        seeds += 1
    return seeds
