"""The differences that a number of seeds can resolve, for the plan and the report."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

from study.design.roots import root

POWER, LEVEL = 0.80, 0.05  # true positive rate, false positive rate
MAX_SEEDS = 10_000  # per arm
SHARES = ("accuracy", "share", "recall")  # in the names of metrics between 0 and 1


@functools.cache
def noncentrality(df: float, level: float, power: float) -> float:
    """The difference in standard errors that a two-sided t test finds with probability `power`."""
    from scipy import special  # slow to import, and every launch imports this module

    critical = float(special.stdtrit(df, 1 - level / 2))

    def missing_power(delta: float) -> float:
        above, below = (special.nctdtr(df, side * delta, -critical) for side in (-1, 1))
        return float(above + below) - power

    high = critical + 3.0
    while missing_power(high) < 0:
        high *= 1.5
    return root(missing_power, 0.0, high)


def resolvable(
    weights: Sequence[float],
    seeds: int,
    df: float,
    floor: float = 0.0,
    *,
    level: float = LEVEL,
    power: float = POWER,
) -> float:
    """Smallest Σ w·mean, in standard deviations over seeds, found with probability `power`.

    weights: of the arms' means; df: of the estimated standard deviation. For a pair of arms: (1,
    −1), df = 2(n − 1). `floor`: what the test set alone leaves unresolved, in the same unit; the
    two add in quadrature. Inf if df < 1, since there is no spread to compare with.
    """
    if df < 1:
        return math.inf
    size = math.sqrt(sum(weight**2 for weight in weights) / seeds)
    return math.hypot(noncentrality(df, level, power) * size, floor)


def floor_of_test_set(se: float) -> float:
    """The difference that a test set finds with POWER at LEVEL, with as many seeds as one likes.

    `se`: standard error of the difference over the test examples.
    """
    from scipy import special

    return float(special.ndtri(1 - LEVEL / 2) + special.ndtri(POWER)) * se


def shares_floor(examples: int) -> float:
    """The largest `floor_of_test_set` of two arms scored by shares, on this many test examples.

    A share has at most variance 1/4 per example, and the same examples seldom set two arms apart.
    """
    return floor_of_test_set(math.sqrt(0.5 / examples))


def is_share(metric: str) -> bool:
    """Whether a metric of this name lies between 0 and 1."""
    return any(word in metric for word in SHARES)


def seeds_for(
    difference: float,
    weights: Sequence[float],
    df_per_seed: int,
    floor: float = 0.0,
    *,
    level: float = LEVEL,
    power: float = POWER,
) -> int | None:
    """Smallest number of seeds per arm that resolves a difference in standard deviations.

    df = df_per_seed·(n − 1). None beyond MAX_SEEDS, or if the test set alone leaves it unresolved
    (`floor`).
    """
    if not difference > floor:
        return None

    def enough(seeds: int) -> bool:
        df = df_per_seed * (seeds - 1)
        return resolvable(weights, seeds, df, floor, level=level, power=power) <= difference

    high = 2
    while not enough(high):
        high *= 2
        if high > MAX_SEEDS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if middle >= 2 and enough(middle) else (middle, high)
    return high


def smallest_p(seeds: int) -> float:
    """The smallest possible p value of a two-sided permutation test of two arms."""
    return min(1.0, 2 / math.comb(2 * seeds, seeds))


def seeds_to_test(tests: int, *, level: float = LEVEL) -> int:
    """Seeds per arm that let a permutation test of two arms reach `level` as one of `tests`.

    With Holm's correction, whose first step divides `level` by `tests`.
    """
    seeds = 2
    while smallest_p(seeds) > level / tests:
        seeds += 1
    return seeds
