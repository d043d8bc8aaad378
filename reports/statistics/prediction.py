"""Whether a number predicts success: AUC and rank correlation, with a bootstrap over arms.

The AUC can be taken within blocks: then only points of one block are compared, so that what differs
between blocks cannot pass for an association (Simpson's paradox).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reports.statistics.estimates import NO_ESTIMATE, Array, Estimate


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
    ranks = _ranks(predictor) if predictor.size else predictor
    above = (ranks * success).sum(1) - good * (good + 1) / 2
    return np.divide(above, good * bad, out=np.full(len(good), math.nan), where=good * bad > 0)


def _ranks(values: Array) -> Array:
    """Ranks from 1 within each row [R, n]; equal values share the mean of theirs."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    place = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    new = np.ones(values.shape, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    ends = np.append(new[:, 1:], np.ones((len(values), 1), dtype=bool), axis=1)
    last = np.where(ends, place, values.shape[1])
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=1)
    return ranks


def _spearmans(x: Array, y: Array) -> Array:
    """[R] from [R, n]."""
    if x.shape[1] < 3:
        return np.full(len(x), math.nan)
    a, b = (_ranks(values) for values in (x, y))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), scale, out=np.full(len(x), math.nan), where=scale > 0)


MOST_DRAWS = 80_000
SETTLED = (
    3.0  # Monte-Carlo standard errors between an end of an interval and the value it is held to
)
PARTS = 10  # of the draws, whose spread is the Monte-Carlo error
FIRST_NUMBERS = 2_000_000  # in the first draws
AT_ONCE = 4_000_000  # numbers held at once


@dataclass(frozen=True)
class Prediction:
    """How well a number predicts success (auc) and the score (rho), over points in `arms` arms.

    `drawn`: Monte-Carlo standard error of the ends of the AUC's interval; `pairs`: of a success and
    a failure that were compared.
    """

    auc: Estimate
    rho: Estimate
    arms: int
    successes: int
    pairs: int = 0
    drawn: float = 0.0

    @property
    def predictive(self) -> bool | None:
        """Whether the interval of the AUC excludes one half.

        None without an interval, or if other draws of the bootstrap might say otherwise.
        """
        if not math.isfinite(self.auc.low):
            return None
        if min(abs(self.auc.low - 0.5), abs(self.auc.high - 0.5)) < SETTLED * self.drawn:
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
    block: Array | None = None,
    edges: Sequence[float] = (0.5,),
    level: float = 0.95,
    ranks: bool = True,
) -> Prediction:
    """AUC and Spearman with percentile intervals of a bootstrap over arms.

    The seeds of an arm are drawn together, since they are alike. `block` [n]: the AUC compares
    points of the same block only. No interval with fewer than `fewest` arms, or if under 90 % of
    draws define the statistic; none of the AUC if an outcome has fewer than `fewest` points or two
    arms, of the blocks that have both outcomes: the others compare nothing. Draws are doubled, up
    to MOST_DRAWS, while an end of the AUC's interval is so close to one of `edges` that other draws
    might put it on the other side; many points begin with fewer, as theirs lie closer together.
    `ranks`: whether to compute Spearman's correlation.
    """
    known = np.isfinite(predictor) & np.isfinite(score)
    block = np.zeros(len(predictor), dtype=int) if block is None else np.asarray(block)
    predictor, success, score, arm, block = (
        np.asarray(values)[known] for values in (predictor, success, score, arm, block)
    )
    success = success.astype(bool)
    arms, number = np.unique(arm, return_inverse=True)
    if not len(predictor):
        return Prediction(Estimate(math.nan, math.nan, math.nan, 0), NO_ESTIMATE, 0, 0)
    points = _Sorted.of(predictor, success, number, block)
    wins, pairs = (float(each[0]) for each in points.count(np.ones((1, len(arms)))))
    value = wins / pairs if pairs else math.nan
    low = high = drawn = math.nan
    if pairs and _enough(success, arm, block, fewest):
        low, high, drawn = _interval_of_auc(points, len(arms), draws, seed, edges, (1 - level) / 2)
    rho = spearman(predictor, score) if ranks else math.nan
    ends = (
        _interval_of_rho(predictor, score, number, min(draws, 1000), seed)
        if ranks and len(arms) >= fewest
        else (math.nan, math.nan)
    )
    n = len(predictor)
    return Prediction(
        Estimate(value, low, high, n),
        Estimate(rho, *ends, n),
        len(arms),
        int(success.sum()),
        int(pairs),
        drawn if math.isfinite(drawn) else 0.0,
    )


def _enough(success: Array, arm: Array, block: Array, fewest: int) -> bool:
    """Whether enough arms are compared, and both outcomes are there often enough among them.

    Only blocks with both outcomes compare anything; a few points in one arm would give no width.
    """
    compared = np.isin(block, np.intersect1d(block[success], block[~success]))
    return len(np.unique(arm[compared])) >= fewest and all(
        outcome.sum() >= fewest and len(np.unique(arm[outcome])) >= 2
        for outcome in (success & compared, ~success & compared)
    )


@dataclass(frozen=True)
class _Sorted:
    """Points sorted by block and predictor, to count wins with weights of arms.

    `arm`, `failure` [n]: of each point in order. Of each success: its place `at` in order, and
    where its block and its group of equal predictors start and end (numbers of points before).
    """

    arm: Array
    failure: Array
    at: Array
    block_start: Array
    block_end: Array
    tie_start: Array
    tie_end: Array

    @classmethod
    def of(cls, predictor: Array, success: Array, arm: Array, block: Array) -> _Sorted:
        order = np.lexsort((predictor, block))
        x, own = predictor[order], block[order]
        new_block = np.append(True, own[1:] != own[:-1])
        new_tie = new_block | np.append(True, x[1:] != x[:-1])
        at = np.flatnonzero(success[order])
        return cls(
            arm[order],
            (~success[order]).astype(float),
            at,
            *(edges[at] for new in (new_block, new_tie) for edges in _edges(new)),
        )

    def count(self, times: Array) -> tuple[Array, Array]:
        """Wins and pairs [R] of successes over failures; `times` [R, arms] that an arm counts."""
        weights = times[:, self.arm]
        below = np.zeros((len(times), len(self.arm) + 1))
        np.cumsum(weights * self.failure, axis=1, out=below[:, 1:])
        own = weights[:, self.at]
        lower = below[:, self.tie_start] - below[:, self.block_start]
        equal = below[:, self.tie_end] - below[:, self.tie_start]
        every = below[:, self.block_end] - below[:, self.block_start]
        return (own * (lower + 0.5 * equal)).sum(1), (own * every).sum(1)


def _edges(new: Array) -> tuple[Array, Array]:
    """Start and end [n] of the run that each place is in, from where runs begin."""
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(new))
    run = np.cumsum(new) - 1
    return starts[run], ends[run]


def _interval_of_auc(
    points: _Sorted, size: int, draws: int, seed: int, edges: Sequence[float], tail: float
) -> tuple[float, float, float]:
    """Ends of the percentile interval and their Monte-Carlo standard error; NaN if undefined."""
    first = min(draws, max(1000, FIRST_NUMBERS // len(points.arm)))
    arms, parts_drawn = _drawn_arms(seed, size, first, len(points.arm)), 0
    drawn = np.zeros(0)
    while True:
        for count in _steps(max(first, len(drawn)), len(points.arm)):
            won, of = points.count(arms.part(parts_drawn, count).astype(float))
            parts_drawn += 1
            drawn = np.append(drawn, np.divide(won, of, out=np.full(count, np.nan), where=of > 0))
        known = drawn[np.isfinite(drawn)]
        if len(known) < 0.9 * len(drawn):
            return math.nan, math.nan, math.nan
        ends = np.quantile(known, [tail, 1 - tail])
        parts = [np.quantile(part, [tail, 1 - tail]) for part in np.array_split(known, PARTS)]
        error = float(np.std(parts, axis=0, ddof=1).max() / math.sqrt(PARTS))
        close = min(abs(float(end) - edge) for end in ends for edge in edges)
        if close >= SETTLED * error or 2 * len(drawn) > MOST_DRAWS:
            return float(ends[0]), float(ends[1]), error


class _DrawnArms:
    """How often each of `size` arms is drawn, in parts of many draws, which it remembers."""

    def __init__(self, seed: int, size: int) -> None:
        self.rng, self.size = np.random.default_rng(seed), size
        self.drawn: list[Array] = []

    def part(self, number: int, count: int) -> Array:
        """[count, arms]; parts are asked for in order, with equal counts each time."""
        if number == len(self.drawn):
            even = np.full(self.size, 1 / self.size)
            times = self.rng.multinomial(self.size, even, count)
            self.drawn.append(times.astype(np.int16 if self.size < 2**15 else np.int64))
        return self.drawn[number]


@functools.lru_cache(maxsize=2)
def _drawn_arms(seed: int, size: int, first: int, points: int) -> _DrawnArms:
    """One for all predictors of the same points: a third of the time goes into drawing."""
    return _DrawnArms(seed, size)


def _steps(draws: int, size: int) -> list[int]:
    """`draws` in parts that fit into memory."""
    step = max(1, AT_ONCE // max(1, size))
    return [min(step, draws - at) for at in range(0, draws, step)]


def _interval_of_rho(x: Array, y: Array, arm: Array, draws: int, seed: int) -> tuple[float, float]:
    """Percentile interval of the rank correlation over draws of arms."""
    members = [np.flatnonzero(arm == one) for one in range(int(arm.max()) + 1)]
    chosen = np.random.default_rng(seed).integers(0, len(members), (draws, len(members)))
    total = np.array([len(rows) for rows in members])[chosen].sum(1)
    drawn = np.full(draws, math.nan)
    for size in np.unique(total):  # one size if arms have equally many seeds
        same = np.flatnonzero(total == size)
        rows = np.stack([np.concatenate([members[one] for one in chosen[draw]]) for draw in same])
        drawn[same] = _spearmans(x[rows], y[rows])
    return _percentiles(drawn)


def _percentiles(row: Array) -> tuple[float, float]:
    known = row[np.isfinite(row)]
    if not len(row) or len(known) < 0.9 * len(row):
        return math.nan, math.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
