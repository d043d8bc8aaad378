"""Shares of variance, corrected for noise (ω²; Hays 1963), with intervals.

The share of pure noise is 0 on average.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from reports.formatting import listing
from reports.statistics.estimates import Array, Estimate
from reports.statistics.terms import Confounded, Term, basis, confounded, levels_and_pairs, terms

HIGHER = "higher interactions"
CONFOUNDED = "confounded"
EXACT_TO = 1e4  # sums of squares beyond it: approximated, in λ to 1 part in 10⁶


@dataclass(frozen=True)
class Share:
    """One term: its ω² share of all variance, and `size`, the rms of its effect over the arms.

    `factors`: none for what several terms have together, which is `confounded` or HIGHER.
    """

    name: str
    factors: tuple[str, ...]
    df: int
    F: float
    share: Estimate
    size: Estimate
    confounded: Confounded | None = None


@dataclass(frozen=True)
class Shares:
    """Shares of all terms, of what they cannot be told apart in, and of higher interactions.

    `spread`: standard deviation over seeds within arms; `whole`: no combination is missing. If
    combinations are missing, terms overlap and shares need not add up: `rest` is what then goes
    with no single one. `error_df`: degrees of freedom of the spread.
    """

    terms: Sequence[Share]
    seeds: Estimate
    spread: float
    whole: bool
    n: int
    error_df: int
    rest: float = 0.0


def shares(
    points: pd.DataFrame,
    column: str,
    arms: pd.DataFrame,
    factors: Sequence[str],
    *,
    draws: int,
    seed: int,
    found: Sequence[Term] | None = None,
) -> Shares | None:
    """Shares over arms that have points; None if no arm has two, or nothing varies.

    `arms`: arm and its levels; `found`: their terms, if these are known already. Sums of squares of
    the arms' means, arms weighing equally (n: their harmonic mean); ω² = (SS − df·MSE)/(SS_total +
    MSE), at least 0. Intervals: generalised confidence (Weerahandi 1993): σ² drawn from SSE/χ², the
    noncentrality of every term from the distribution that makes its sum of squares a quantile; for
    one term this is Steiger's (2004) interval from the noncentral F.
    """
    model = _cell_means(points, column, arms)
    if model is None:
        return None
    if found is None or len(model.arms) < len(arms):
        found = terms(model.arms, factors)
    sums = _sums_of_squares(model, factors, found)
    total, between_df = model.n * len(model.arms), len(model.arms) - 1
    mse, n = model.mse, model.points
    between = model.n * float(((model.means - model.means.mean()) ** 2).sum())
    every = max(0.0, between - between_df * mse) / total + mse
    interval = functools.partial(
        intervals, mse=mse, error_df=model.error_df, total=total, draws=draws, seed=seed
    )
    made = []
    for one in sums:
        part = max(0.0, (one.square - one.df * mse) / total)
        others = max(0.0, between - one.square), between_df - one.df
        share, size = interval(one.square, one.df, *others)
        made.append(
            Share(
                one.name,
                one.factors,
                one.df,
                one.square / one.df / mse,
                Estimate(min(1.0, part / every), *share, n),
                Estimate(math.sqrt(part), *size, n),
                one.confounded,
            )
        )
    taken, _ = interval(between, between_df, 0.0, 0)
    seeds = Estimate(min(1.0, mse / every), 1 - taken[1], 1 - taken[0], n)
    whole = len(model.arms) == math.prod(model.arms[factor].nunique() for factor in factors)
    rest = 0.0 if whole else max(0.0, 1 - seeds.value - sum(one.share.value for one in made))
    return Shares(made, seeds, math.sqrt(mse), whole, n, model.error_df, rest)


@dataclass(frozen=True)
class _CellMeans:
    """Means of the arms that have points, and the error: the spread over seeds within arms.

    `n`: harmonic mean of the arms' numbers of points.
    """

    arms: pd.DataFrame
    means: Array
    n: float
    mse: float
    error_df: int
    points: int


def _cell_means(points: pd.DataFrame, column: str, arms: pd.DataFrame) -> _CellMeans | None:
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
    return _CellMeans(arms, means, n, mse, error_df, int(sizes.sum()))


@dataclass(frozen=True)
class _SumOfSquares:
    name: str
    factors: tuple[str, ...]
    df: int
    square: float
    confounded: Confounded | None = None


def _sums_of_squares(
    model: _CellMeans, factors: Sequence[str], found: Sequence[Term]
) -> list[_SumOfSquares]:
    """Of main effects, two-way interactions, what of these is confounded, and all higher
    interactions together.
    """

    def square(weights: Array) -> float:
        return model.n * float(((weights.T @ model.means) ** 2).sum())

    sums = [_SumOfSquares(one.name, one.factors, one.df, square(one.weights)) for one in found]
    for one in confounded(model.arms, factors, found):
        name, df = confounded_name(one), one.weights.shape[1]
        sums.append(_SumOfSquares(name, (), df, square(one.weights), one))
    spanned = _of_two_at_most(model.arms, factors, found)
    higher, means = len(model.arms) - 1 - spanned.shape[1], model.means - model.means.mean()
    if higher > 0:
        beyond = max(0.0, model.n * float((means**2).sum()) - square(spanned))
        sums.append(_SumOfSquares(HIGHER, (), higher, beyond))
    return [one for one in sums if one.df > 0]


def confounded_name(one: Confounded) -> str:
    """For example: cell and initializer, confounded."""
    return f"{listing(one.factors) if one.factors else 'two-way interactions'}, {CONFOUNDED}"


def _of_two_at_most(arms: pd.DataFrame, factors: Sequence[str], found: Sequence[Term]) -> Array:
    """Orthonormal columns for all that effects of one or two factors give, without the mean."""
    of_terms = np.hstack([one.weights for one in found])
    if len(arms) == math.prod(arms[factor].nunique() for factor in factors):
        return of_terms  # of a whole factorial, terms are orthogonal and are all there is
    lower = np.hstack([levels_and_pairs(arms, factors), of_terms])
    return basis(lower - lower.mean(0))


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
    """95 % intervals of a term's share and size, from its sum of squares and that of all other
    terms.
    """
    rng = np.random.default_rng(seed)
    noise = error_df * mse / rng.chisquare(error_df, draws)
    own = _noncentrality(square / noise, df, rng.random(draws))
    other = _noncentrality(rest / noise, rest_df, rng.random(draws)) if rest_df else 0.0
    return _ends(own / (own + other + total)), _ends(np.sqrt(own * noise / total))


def _noncentrality(x: Array, df: int, u: Array) -> Array:
    """λ for which noncentral χ² with df is below x with probability u; 0 if no λ is."""
    reached, far = special.chdtr(df, x) > u, x > EXACT_TO
    lam = np.where(reached & ~far, special.chndtrinc(np.clip(x, 1e-12, EXACT_TO), df, u), 0.0)
    lam[far] = _far_noncentrality(x[far], df, special.ndtri(u[far]))
    return np.where(np.isfinite(lam), lam, 0.0)


def _far_noncentrality(x: Array, df: int, z: Array) -> Array:
    """As `_noncentrality`, with the normal quantile z of u, by Sankaran's second approximation
    (1963, Biometrika 50, 199-204), solved for λ. The exact sum takes a time that grows with √x.
    """
    lam = np.maximum(np.sqrt(x) - z, 0.0) ** 2
    for _ in range(30):
        mean = df + lam
        h = 1 - 2 * mean * (df + 3 * lam) / (3 * (df + 2 * lam) ** 2)
        p, m = (df + 2 * lam) / mean**2, (h - 1) * (1 - 3 * h)
        centre = 1 + h * p * (h - 1 - (2 - h) * m * p / 2)
        before, lam = lam, x / (centre + h * np.sqrt(2 * p) * (1 + m * p / 2) * z) ** (1 / h) - df
        if np.allclose(lam, before, rtol=1e-12, atol=0):
            break
    return lam


def _ends(row: Array) -> tuple[float, float]:
    low, high = np.quantile(row, [0.025, 0.975])
    return float(low), float(high)
