"""Time to solve with censoring: unsolved points count as "later than the end"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from reports.formatting import as_number
from reports.statistics.estimates import NO_ESTIMATE, Array, Estimate

ROUNDING = 1e-12  # of a share


@dataclass(frozen=True)
class Unsolved:
    """Kaplan and Meier's (1958) share unsolved: at each `time` it drops to `share`, with
    Greenwood's se.
    """

    time: Array
    share: Array
    se: Array


def unsolved(time: Array, solved: Array) -> Unsolved:
    """The curve from times (of solving, or last seen) and whether each was solved."""
    time, solved = np.asarray(time, dtype=float), np.asarray(solved, dtype=bool)
    if not solved.any():
        return Unsolved(np.array([]), np.array([]), np.array([]))
    times, place = np.unique(time, return_inverse=True)
    events = np.bincount(place, weights=solved)
    at_risk = np.cumsum(np.bincount(place)[::-1])[::-1]
    times, events, at_risk = (each[events > 0] for each in (times, events, at_risk))
    left = at_risk - events
    share = np.cumprod(left / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):  # no se once all have solved
        se = share * np.sqrt(np.cumsum(events / (at_risk * left)))
    return Unsolved(times, share, se)


def unsolved_over_arms(time: Array, solved: Array, arm: Array) -> Unsolved:
    """The curve of networks of several arms, with the standard error over arms where it is larger
    than Greenwood's.
    """
    curve = unsolved(time, solved)
    arms, sizes = np.unique(arm, return_counts=True)
    if len(arms) < 2 or not len(curve.time):
        return curve
    by_arm = []
    for one in arms:
        own = unsolved(time[arm == one], solved[arm == one])
        steps = np.concatenate([[1.0], own.share])
        by_arm.append(steps[np.searchsorted(own.time, curve.time, side="right")])
    k, n = len(arms), len(time)
    squares = ((sizes[:, None] * (np.array(by_arm) - curve.share)) ** 2).sum(0)
    return Unsolved(
        curve.time, curve.share, np.maximum(curve.se, np.sqrt(k / (k - 1) * squares) / n)
    )


def median_time(curve: Unsolved) -> float:
    """First time at which at most half are unsolved; NaN if there is none.

    Where exactly half are, the middle between that time and the next at which it drops, so that it
    is the usual median if all have solved; without a next one nothing more is known.
    """
    reached = np.flatnonzero(curve.share <= 0.5 + ROUNDING)
    if not len(reached):
        return math.nan
    at = curve.time[reached]
    half = curve.share[reached[0]] >= 0.5 - ROUNDING
    return float((at[0] + at[1]) / 2 if half and len(at) > 1 else at[0])


def restricted_mean(time: Array, solved: Array, until: float, *, level: float = 0.95) -> Estimate:
    """Mean time to solve, times after `until` counting as `until` (Irwin 1949).

    This is the area under the Kaplan–Meier curve. Var = Σ A(t)²·d/(r(r−d)) over times of solving, A
    the area from t on, times n/(n−1); t interval with n−1 degrees of freedom. If nothing is
    censored before `until`, this is the t interval of the mean of min(time, until).
    """
    time, solved = (
        np.minimum(np.asarray(time, dtype=float), until),
        np.asarray(solved, dtype=bool) & (np.asarray(time, dtype=float) <= until),
    )
    n = len(time)
    if not n:
        return NO_ESTIMATE
    curve = unsolved(time, solved)
    edges = np.concatenate([[0.0], curve.time, [until]])
    areas = np.diff(edges) * np.concatenate([[1.0], curve.share])
    mean = float(areas.sum())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    left = np.cumsum(areas[::-1])[::-1][1:]  # from each time of solving on
    at_risk = np.array([(time >= one).sum() for one in curve.time], dtype=float)
    events = np.array([(solved & (time == one)).sum() for one in curve.time], dtype=float)
    spread = np.divide(
        left**2 * events,
        at_risk * (at_risk - events),
        out=np.zeros(len(left)),
        where=at_risk > events,
    ).sum()
    half = float(special.stdtrit(n - 1, (1 + level) / 2)) * math.sqrt(spread * n / (n - 1))
    return Estimate(mean, max(0.0, mean - half), min(until, mean + half), n)


def arms_spread(values: Mapping[object, float], sizes: Mapping[object, int]) -> float:
    """Standard error over arms of a mean over networks; NaN with one arm.

    That of the arms' means `values`, each weighing as its `sizes` networks do.
    """
    k, n = len(values), sum(sizes.values())
    if k < 2:
        return math.nan
    mean = sum(sizes[arm] * value for arm, value in values.items()) / n
    squares = sum((sizes[arm] * (value - mean)) ** 2 for arm, value in values.items())
    return math.sqrt(k / (k - 1) * squares) / n


def mean_over_arms(
    time: Array, solved: Array, arm: Array, until: float, *, level: float = 0.95
) -> Estimate:
    """The restricted mean of networks of several arms.

    Networks of one arm are alike, so that arms are the unit: t interval of the arms' means, unless
    that over networks is wider, as it is where the arms happen to agree.
    """
    found = restricted_mean(time, solved, until, level=level)
    arms = np.unique(arm)
    own = {one: restricted_mean(time[arm == one], solved[arm == one], until) for one in arms}
    se = arms_spread(
        {one: mean.value for one, mean in own.items()}, {one: mean.n for one, mean in own.items()}
    )
    if not math.isfinite(se):
        return found
    half = max(found.half, float(special.stdtrit(len(arms) - 1, (1 + level) / 2)) * se)
    return Estimate(
        found.value, max(0.0, found.value - half), min(until, found.value + half), found.n
    )


def trained_updates(points: pd.DataFrame) -> pd.Series:
    """Updates that each point made: fewer than planned if it ended early."""
    if "updates_done" not in points:
        return planned_updates(points)
    planned = planned_updates(points)
    return points["updates_done"].astype(float).fillna(planned).clip(upper=planned)


def planned_updates(points: pd.DataFrame) -> pd.Series:
    """Planned updates of each point as a number, also where `updates` is a factor's text."""
    number = as_number("updates")
    return points[number if number in points else "updates"].astype(float)


def times(points: pd.DataFrame) -> pd.DataFrame:
    """Points with columns time, solved and planned (updates).

    A diverged point will never solve its task, so it counts as unsolved to the end; a pruned one is
    censored when it was pruned.
    """
    solved = points["solved_at"].notna().to_numpy()
    pruned = (points["status"] == "pruned").to_numpy()
    planned = planned_updates(points).to_numpy()
    end = np.where(pruned, points["updates_done"].to_numpy(dtype=float), planned)
    return points.assign(
        planned=planned,
        time=np.where(solved, points["solved_at"].to_numpy(dtype=float), end),
        solved=solved,
    )
