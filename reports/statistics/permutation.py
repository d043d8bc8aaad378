"""Tests of terms by permuting residuals within blocks (Freedman & Lane 1983).

Seeds are exchanged; arms are fixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from reports.statistics.estimates import Array
from reports.statistics.terms import Term

ALIKE = 1 - 1e-9  # equal arrangements differ by rounding
CHUNK = 4_000_000  # numbers held at once
# With more points than this, p is that of the F distribution: permutations give the same value, but
# take minutes and gigabytes.
MANY = 2000


@dataclass(frozen=True)
class TestResult:
    """F of a term with its degrees of freedom, and p of permutations within `blocks`; NaN if
    untestable.

    `draws`: permutations behind p; 0 if p is that of the F distribution.
    `smallest`: no arrangement had a larger F, so that more draws, or more seeds where the
    arrangements are few, could give a smaller p.
    """

    F: float
    df: int
    error_df: int
    p: float
    n: int
    blocks: int
    draws: int = 0
    smallest: bool = False


def f_test(values: Array, arm: Array, term: Term, *, draws: int, seed: int) -> TestResult:
    """Test whether a term is 0. `values` [n] of points; `arm` [n]: their row in the term's weights.

    The model has one mean per arm, so that only the spread over seeds counts as error. Residuals of
    the model without the term are permuted within the term's blocks; the statistic is the term's F.
    p = (1 + number at least as large)/(1 + draws); with more than MANY points, p of the F
    distribution.
    """
    known = np.isfinite(values)
    values, arm = np.asarray(values, dtype=float)[known], np.asarray(arm)[known]
    present = np.unique(arm)
    error_df = len(values) - len(present)
    n, blocks = len(values), len(np.unique(term.block[arm])) if len(arm) else 0
    if (
        not term.df
        or error_df < 1
        or not np.isin(np.flatnonzero(np.abs(term.weights).max(1) > 0), present).all()
    ):
        return TestResult(math.nan, term.df, max(error_df, 0), math.nan, n, blocks)
    F, p, beaten = _permuted(values[None], arm, term, draws=draws if n <= MANY else 0, seed=seed)
    by_distribution = n > MANY
    return TestResult(
        float(F[0]),
        term.df,
        error_df,
        float(special.fdtrc(term.df, error_df, F[0])) if by_distribution else float(p[0]),
        n,
        blocks,
        0 if by_distribution else draws,
        not by_distribution and not beaten[0] and p[0] < 1,
    )


def statistics(
    values: Array, arm: Array, term: Term, *, draws: int, seed: int
) -> tuple[Array, Array]:
    """F and p [S] of S sets of values [S, n] over the same points, with the same permutations."""
    return _permuted(values, arm, term, draws=draws, seed=seed)[:2]


def _permuted(
    values: Array, arm: Array, term: Term, *, draws: int, seed: int
) -> tuple[Array, Array, Array]:
    """F and p as `statistics`, and whether some arrangement had a larger F."""
    by_arm = np.argsort(arm, kind="stable")
    values, arm = values[:, by_arm], arm[by_arm]
    sizes = np.bincount(arm, minlength=len(term.weights)).astype(float)
    own = sizes[sizes > 0]
    starts = np.concatenate([[0], np.cumsum(own)[:-1]]).astype(int)  # of each arm's points
    direction, _ = np.linalg.qr(
        (term.weights / np.maximum(sizes, 1)[:, None])[arm]
    )  # the points' values if only the term were present
    error_df = values.shape[1] - len(own)
    # Values that do not vary leave rounding errors, whose ratio means nothing.
    floor = 1e-20 * np.maximum((values**2).sum(1), np.finfo(float).tiny)

    def ratio(residuals: Array, floor: Array) -> Array:
        of_term = ((residuals @ direction) ** 2).sum(-1) / term.df
        of_arms = (np.add.reduceat(residuals, starts, axis=-1) ** 2 / own).sum(-1)
        error = np.maximum((residuals**2).sum(-1) - of_arms, 0) / error_df
        return np.where(of_term <= floor, 0.0, of_term / np.maximum(error, floor))

    means = np.add.reduceat(values, starts, axis=-1) / own
    residuals = values - np.repeat(means, own.astype(int), axis=-1)
    residuals += (values @ direction) @ direction.T
    found = ratio(residuals, floor)
    as_large, rng = np.zeros(len(values)), np.random.default_rng(seed)
    beaten = np.zeros(len(values), dtype=bool)
    step = max(1, CHUNK // max(1, values.shape[1] * len(values)))
    for start in range(0, draws, step):
        order = permutations(term.block[arm], min(step, draws - start), rng)
        drawn = ratio(residuals[:, order], floor[:, None])
        as_large += (drawn >= found[:, None] * ALIKE).sum(1)
        beaten |= (drawn > found[:, None] / ALIKE).any(1)
    return found, (1 + as_large) / (1 + draws), beaten


def permutations(block: Array, draws: int, seed: int | np.random.Generator) -> Array:
    """[draws, n] orders that move points only within their block."""
    rng = np.random.default_rng(seed)
    places = np.argsort(block, kind="stable")
    order = np.empty((draws, len(block)), dtype=np.intp)
    order[:, places] = np.argsort(block[None] + rng.random((draws, len(block))), axis=1)
    return order
