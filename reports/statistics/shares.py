"""Shares of variance, corrected for noise (ω²; Hays 1963), with intervals: noise alone has a share
of 0, not of what it happens to show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from reports.statistics.estimates import Array, Estimate
from reports.statistics.terms import Term, terms

HIGHER = "higher interactions"


@dataclass(frozen=True)
class Share:
    """One term: its ω² share of all variance, and `size`, the rms of its effect over the arms in
    the units of the column.
    """

    name: str
    factors: tuple[str, ...]
    df: int
    F: float
    share: Estimate
    size: Estimate


@dataclass(frozen=True)
class Shares:
    """Shares of all terms, `spread`, the standard deviation over seeds within arms, and `whole`: no
    combination is missing.

    Where combinations are missing, terms overlap and their shares need not add up.
    """

    terms: Sequence[Share]
    seeds: Estimate
    spread: float
    whole: bool
    n: int


def shares(
    points: pd.DataFrame,
    column: str,
    arms: pd.DataFrame,
    factors: Sequence[str],
    *,
    draws: int,
    seed: int,
) -> Shares | None:
    """Over arms with at least one point; None where no arm has two, or nothing varies.

    `arms`: arm and its levels.

    Sums of squares of the arms' means, arms weighing equally (n: their harmonic mean); ω² = (SS −
    df·MSE)/(SS_total + MSE), 0 at least. Intervals: generalised confidence (Weerahandi 1993): σ²
    drawn from SSE/χ², the noncentrality of every term from the distribution that makes its sum of
    squares a quantile; for one term this is Steiger's (2004) interval from the noncentral F.
    """
    known = points[np.isfinite(points[column].to_numpy(dtype=float))]
    by_arm = known.groupby("arm")[column].agg(["mean", "size", "var"])
    arms = arms[arms["arm"].isin(by_arm.index)].reset_index(drop=True)
    by_arm = by_arm.loc[arms["arm"]]
    sizes, means = by_arm["size"].to_numpy(dtype=float), by_arm["mean"].to_numpy(dtype=float)
    error_df = int(sizes.sum() - len(sizes))
    if len(arms) < 2 or error_df < 1:
        return None
    mse = float((by_arm["var"].fillna(0).to_numpy(dtype=float) * (sizes - 1)).sum() / error_df)
    if mse <= 1e-20 * max(float((means**2).mean()), 1e-300):
        return None  # seeds that all give the same leave no noise to compare with
    n = len(sizes) / float((1 / sizes).sum())
    found = terms(arms, factors)
    squares = [n * float(((term.weights.T @ means) ** 2).sum()) for term in found]
    names, of, df = (
        [term.name for term in found],
        [term.factors for term in found],
        [term.df for term in found],
    )
    spanned = _spanned(found)
    rest = len(arms) - 1 - spanned.shape[1]
    if rest > 0:
        between = n * float(((means - means.mean()) ** 2).sum())
        names, of, df = [*names, HIGHER], [*of, ()], [*df, rest]
        squares.append(max(0.0, between - n * float(((spanned.T @ means) ** 2).sum())))
    kept = [i for i, one in enumerate(df) if one > 0]
    total = n * len(arms)
    every = sum(squares[i] - df[i] * mse for i in kept) / total + mse
    points_of = int(sizes.sum())
    made = []
    for i in kept:
        part = max(0.0, (squares[i] - df[i] * mse) / total)
        rest = sum(squares[j] for j in kept if j != i), sum(df[j] for j in kept if j != i)
        share, size = intervals(
            squares[i],
            df[i],
            *rest,
            mse=mse,
            error_df=error_df,
            total=total,
            draws=draws,
            seed=seed,
        )
        share_of = Estimate(min(1.0, part / max(every, mse)), *share, points_of)
        made.append(
            Share(
                names[i],
                of[i],
                df[i],
                squares[i] / df[i] / mse,
                share_of,
                Estimate(math.sqrt(part), *size, points_of),
            )
        )
    taken, _ = intervals(
        sum(squares[i] for i in kept),
        sum(df[i] for i in kept),
        0.0,
        0,
        mse=mse,
        error_df=error_df,
        total=total,
        draws=draws,
        seed=seed,
    )
    seeds = Estimate(min(1.0, mse / max(every, mse)), 1 - taken[1], 1 - taken[0], points_of)
    cells = math.prod(arms[factor].nunique() for factor in factors)
    return Shares(made, seeds, math.sqrt(mse), len(arms) == cells, points_of)


def intervals(
    square: float,
    df: int,
    rest: float,
    rest_df: int,
    *,
    mse: float,
    error_df: int,
    total: float,
    draws: int,
    seed: int,
) -> tuple[tuple[float, float], tuple[float, float]]:
    """95 % intervals of a term's share and of its size, from its sum of squares and that of all
    other terms together.
    """
    rng = np.random.default_rng(seed)
    noise = error_df * mse / rng.chisquare(error_df, draws)
    own = _noncentrality(square / noise, df, rng.random(draws))
    other = _noncentrality(rest / noise, rest_df, rng.random(draws)) if rest_df else 0.0
    return _ends(own / (own + other + total)), _ends(np.sqrt(own * noise / total))


def _spanned(found: Sequence[Term]) -> Array:
    """Orthonormal columns for all terms together."""
    u, s, _ = np.linalg.svd(np.hstack([term.weights for term in found]), full_matrices=False)
    return u[:, s > 1e-8]


def _noncentrality(x: Array, df: int, u: Array) -> Array:
    """λ for which noncentral χ² of df lies below x with probability u; 0 where even λ = 0 makes so
    small an x too rare.
    """
    reached = special.chdtr(df, x) > u
    lam = np.where(reached, special.chndtrinc(np.maximum(x, 1e-12), df, u), 0.0)
    return np.where(np.isfinite(lam), lam, 0.0)


def _ends(row: Array) -> tuple[float, float]:
    low, high = np.quantile(row, [0.025, 0.975])
    return float(low), float(high)
