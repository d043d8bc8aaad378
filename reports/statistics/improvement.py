"""P(improve): how often a run of one side beats a run of the other; Cliff's δ = 2 P − 1."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from reports.statistics.estimates import NO_ESTIMATE, Estimate
from study.design.roots import root


def improvement(
    blocks: Sequence[tuple[Sequence[float], Sequence[float]]],
    *,
    higher_is_better: bool,
    level: float = 0.95,
) -> Estimate:
    """P(a run of the first side beats one of the second), ties half, mean over blocks.

    `blocks`: pairs of (first, second) values. Interval: Newcombe (2006, part 2, method 5), which
    solves |θ̂ − θ| = t·√V(θ) and so has a width at 0 and 1 too; blocks with different θ make it
    wider than needed. No interval if each side has one value in every block.
    """
    pairs = [(np.asarray(a, dtype=float), np.asarray(b, dtype=float)) for a, b in blocks]
    pairs = [(a[np.isfinite(a)], b[np.isfinite(b)]) for a, b in pairs]
    pairs = [(a, b) for a, b in pairs if len(a) and len(b)]
    if not pairs:
        return NO_ESTIMATE
    sign = 1.0 if higher_is_better else -1.0
    value = float(
        np.mean([np.mean((np.sign(sign * (a[:, None] - b[None])) + 1) / 2) for a, b in pairs])
    )
    n = sum(len(a) + len(b) for a, b in pairs)
    if all(len(a) < 2 and len(b) < 2 for a, b in pairs):
        return Estimate(value, math.nan, math.nan, n)
    # At three seeds a side z covers 90 %; t with the sides' degrees of freedom covers 95 to 97 %.
    z = float(special.stdtrit(sum(len(a) + len(b) - 2 for a, b in pairs), (1 + level) / 2))

    def half(theta: float) -> float:
        spread = sum(_variance(theta, len(a), len(b)) for a, b in pairs) / len(pairs) ** 2
        return z * math.sqrt(spread)

    inside = 1e-9  # excludes the trivial solutions 0 and 1
    low = (
        0.0
        if value == 0
        else float(root(lambda theta: value - theta - half(theta), 0.0, min(value, 1 - inside)))
    )
    high = (
        1.0
        if value == 1
        else float(root(lambda theta: theta - value - half(theta), max(value, inside), 1.0))
    )
    return Estimate(value, low, high, n)


def _variance(theta: float, m: int, n: int) -> float:
    size = (m + n) / 2 - 1
    return (
        theta
        * (1 - theta)
        * (1 + size * ((1 - theta) / (2 - theta) + theta / (1 + theta)))
        / (m * n)
    )


def cliffs_delta(estimate: Estimate) -> Estimate:
    """2 P − 1: from −1 to 1, 0 for no difference."""
    return Estimate(2 * estimate.value - 1, 2 * estimate.low - 1, 2 * estimate.high - 1, estimate.n)
