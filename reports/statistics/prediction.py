"""Whether a number predicts success: AUC and rank correlation, with a bootstrap over arms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reports.statistics.estimates import Array, Estimate


def auc(predictor: Array, success: Array) -> float:
    """Probability that a random success has a larger predictor than a random failure, ties half.

    This is Mann–Whitney's statistic.
    """
    return float(
        _aucs(np.asarray(predictor, dtype=float)[None], np.asarray(success, dtype=bool)[None])[0]
    )


def spearman(x: Array, y: Array) -> float:
    """Rank correlation; NaN for fewer than three points or a constant."""
    return float(_spearmans(np.asarray(x, dtype=float)[None], np.asarray(y, dtype=float)[None])[0])


def _aucs(predictor: Array, success: Array) -> Array:
    """[R] from [R, n]."""
    good = success.sum(1)
    bad = success.shape[1] - good
    ranks = stats.rankdata(predictor, axis=1) if predictor.size else predictor
    above = (ranks * success).sum(1) - good * (good + 1) / 2
    return np.divide(above, good * bad, out=np.full(len(good), math.nan), where=good * bad > 0)


def _spearmans(x: Array, y: Array) -> Array:
    """[R] from [R, n]."""
    if x.shape[1] < 3:
        return np.full(len(x), math.nan)
    a, b = (stats.rankdata(values, axis=1) for values in (x, y))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), scale, out=np.full(len(x), math.nan), where=scale > 0)


@dataclass(frozen=True)
class Prediction:
    """How well a number predicts success (auc) and the score (rho), over points in `arms` arms."""

    auc: Estimate
    rho: Estimate
    arms: int
    successes: int

    @property
    def predictive(self) -> bool | None:
        """Whether the interval of the AUC excludes one half; None without an interval."""
        if not math.isfinite(self.auc.low):
            return None
        return self.auc.low > 0.5 or self.auc.high < 0.5


def predict(
    predictor: Array,
    success: Array,
    score: Array,
    arm: Array,
    *,
    draws: int,
    seed: int,
    fewest: int = 5,
) -> Prediction:
    """AUC and Spearman with percentile intervals of a bootstrap over arms.

    The seeds of an arm are drawn together, since they are alike. No interval with fewer than
    `fewest` arms, or if under 90 % of draws define the statistic; none of the AUC if an outcome has
    fewer than `fewest` points or two arms.
    """
    known = np.isfinite(predictor) & np.isfinite(score)
    predictor, success, score, arm = (
        np.asarray(values)[known] for values in (predictor, success, score, arm)
    )
    members = [np.flatnonzero(arm == one) for one in np.unique(arm)]
    values = auc(predictor, success), spearman(predictor, score)
    # A few failures in a single arm would give an interval without width.
    enough = all(
        outcome.sum() >= fewest and len(np.unique(arm[outcome])) >= 2
        for outcome in (success.astype(bool), ~success.astype(bool))
    )
    drawn = np.full((2, draws), math.nan)
    if len(members) >= fewest:
        chosen = np.random.default_rng(seed).integers(0, len(members), (draws, len(members)))
        sizes = np.array([len(rows) for rows in members])
        total = sizes[chosen].sum(1)
        for size in np.unique(
            total
        ):  # draws of equal size at once: a single size if arms have equally many seeds
            same = np.flatnonzero(total == size)
            rows = np.stack(
                [np.concatenate([members[one] for one in chosen[draw]]) for draw in same]
            )
            drawn[0, same], drawn[1, same] = (
                _aucs(predictor[rows], success[rows]),
                _spearmans(predictor[rows], score[rows]),
            )
    if not enough:
        drawn[0] = math.nan
    both = [
        Estimate(value, *_percentiles(row), len(predictor))
        for value, row in zip(values, drawn, strict=True)
    ]
    return Prediction(both[0], both[1], len(members), int(np.sum(success)) if len(predictor) else 0)


def _percentiles(row: Array) -> tuple[float, float]:
    known = row[np.isfinite(row)]
    if not len(row) or len(known) < 0.9 * len(row):
        return math.nan, math.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
