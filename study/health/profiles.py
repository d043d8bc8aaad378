"""Profiles, D, U and the state of a network at one probe, from gradient norms by lag; in decades.

D is the median over lags [.9K, K] of the geometric-mean transport relative to lag 1, U the largest
rms transport up to K relative to lag 1. The geometric mean is the mean of logs over examples;
explosions show in the tail, to which the rms is sensitive. Zeros and non-finite values are left out
of means and counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Thresholds:
    """The settings of the `health` node that this module needs, in decades and shares."""

    exploding: float
    fading: float
    vanishing: float
    undefined: float
    horizon: float
    bootstrap: int

    @classmethod
    def from_health(cls, health: Mapping[str, Any]) -> Thresholds:
        """Select these settings from the whole `health` node."""
        return cls(**{name: health[name] for name in cls.__dataclass_fields__})


def judged_lag(lag: int | None, last_step: Array) -> int:
    """K: the task's declared lag, at most T-1; else 90 % of the median last valid step."""
    longest = int(np.max(last_step))
    return max(1, min(lag, longest) if lag is not None else int(0.9 * float(np.median(last_step))))


@dataclass(frozen=True)
class Logs:
    """log10 of norms [M, N, L] with masks of that shape.

    exists: the lag lies inside the sequence. good: finite and above 0. zero: exactly 0.
    """

    values: Array
    exists: Array
    good: Array
    zero: Array


def logs(norms: Array, exists: Array) -> Logs:
    """Logs of norms [M, N, L] relative to lag 0; `exists`: [N, L] or [M, N, L]."""
    exists = np.broadcast_to(exists, norms.shape)
    finite = np.isfinite(norms)
    good = finite & (norms > 0) & exists
    values = np.log10(np.where(good, norms, 1.0))
    return Logs(values=values, exists=exists, good=good, zero=finite & (norms == 0) & exists)


def profile(logs: Logs) -> dict[str, Array]:
    """Columns of profile.parquet, each [M, L]."""
    n = logs.exists.sum(1)
    n_good, n_zero = logs.good.sum(1), logs.zero.sum(1)
    low, high = _quantiles(logs, n_good, (0.1, 0.9))
    return {
        "log10_mean": _mean(logs),
        "log10_p10": low,
        "log10_p90": high,
        "log10_rms": _rms(logs),
        "n": n,
        "n_zero": n_zero,
        "n_nonfinite": n - n_good - n_zero,
    }


def profile_of_squares(squares: Array, last: Array) -> dict[str, Array]:
    """The columns of `profile` from squared norms [M, T, B] by step and last steps [M, B].

    Quantiles are NaN: they would cost more than everything else.
    """
    steps = squares.shape[1]
    if (last == steps - 1).all():
        by_lag, exists = squares[:, ::-1], np.broadcast_to(True, squares.shape)
    else:
        index = last[:, None] - np.arange(steps)[:, None]  # [M, L, B]: the step of each lag
        by_lag, exists = np.take_along_axis(squares, np.maximum(index, 0), axis=1), index >= 0
    first = by_lag[:, :1]
    with np.errstate(all="ignore"):
        log = np.log(by_lag)  # many times faster than log10
        log = (log - log[:, :1]) * (0.5 / math.log(10))
        zero = (by_lag == 0) & ((first == 0) | np.isfinite(first)) & exists
        good = np.isfinite(log) & exists
        n_good, n_zero, n = (np.count_nonzero(mask, axis=-1) for mask in (good, zero, exists))
        mean = np.where(good, log, 0.0).sum(-1) / n_good
        rms = 0.5 * np.log10(np.where(good, by_lag / first, 0.0).sum(-1) / (n_good + n_zero))
    mean, rms = (np.where(n_good > 0, values, np.nan) for values in (mean, rms))
    unknown = np.full(n.shape, np.nan)
    return {
        "log10_mean": mean,
        "log10_p10": unknown,
        "log10_p90": unknown,
        "log10_rms": rms,
        "n": n,
        "n_zero": n_zero,
        "n_nonfinite": n - n_good - n_zero,
    }


def _quantiles(logs: Logs, count: Array, shares: Sequence[float]) -> list[Array]:
    """Quantiles [M, L] over the good examples, interpolated linearly; NaN if there are none."""
    ordered = np.sort(np.where(logs.good, logs.values, np.inf), axis=1)
    found = []
    for share in shares:
        position = share * np.maximum(count - 1, 0)
        below = np.floor(position).astype(int)
        above = np.minimum(below + 1, np.maximum(count - 1, 0))
        first, second = (
            np.take_along_axis(ordered, index[:, None], axis=1)[:, 0] for index in (below, above)
        )
        with np.errstate(invalid="ignore"):
            found.append(np.where(count > 0, first + (position - below) * (second - first), np.nan))
    return found


def _mean(logs: Logs, weights: Array | None = None) -> Array:
    """Geometric means in decades: [M, L], or [M, R, L] with weights [R, N] of the examples."""
    total, count = np.where(logs.good, logs.values, 0.0), logs.good.astype(float)
    if weights is None:
        total, count = total.sum(1), count.sum(1)
    else:
        total, count = weights @ total, weights @ count
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _rms(logs: Logs, weights: Array | None = None) -> Array:
    """Root mean squares in decades, zeros counted as 0, without overflow."""
    largest = np.where(logs.good, logs.values, -np.inf).max(1, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    squares = 10.0 ** (2 * np.where(logs.good, logs.values - shift, -np.inf))
    count = (logs.good | logs.zero).astype(float)
    if weights is None:
        squares, count, shift = squares.sum(1), count.sum(1), shift[:, 0]
    else:
        squares, count = weights @ squares, weights @ count
    mean = np.divide(squares, count, out=np.zeros_like(squares), where=count > 0)
    with np.errstate(divide="ignore"):
        return np.where(mean > 0, 0.5 * np.log10(mean) + shift, np.nan)


def carry(mean: Array, rms: Array, lag: int) -> tuple[Array, Array]:
    """(D, U) from means and rms [..., L] in decades; NaN if undefined."""
    first, last = math.ceil(0.9 * lag), lag
    with np.errstate(all="ignore"):
        D = np.median(mean[..., max(first, 1) : last + 1], axis=-1) - mean[..., 1]
        relative = rms[..., 1 : last + 1] - rms[..., 1:2]
        U = np.where(
            np.isnan(relative[..., 0]),
            np.nan,
            np.max(np.where(np.isnan(relative), -np.inf, relative), axis=-1),
        )
    return D, U


def state_of(D: float, U: float, limits: Thresholds) -> tuple[str, float]:
    """(state, margin in decades to the nearest other class); undefined if D or U is NaN."""
    if math.isnan(D) or math.isnan(U):
        return "undefined", math.nan
    if limits.exploding < U:
        return "exploding", U - limits.exploding
    to_exploding = limits.exploding - U
    if limits.vanishing > D:
        return "vanishing", min(limits.vanishing - D, to_exploding)
    if limits.fading > D:
        return "fading", min(limits.fading - D, D - limits.vanishing, to_exploding)
    return "carrying", min(D - limits.fading, to_exploding)


def states(
    logs: Logs, lag: int, limits: Thresholds, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """One row of states.parquet per member, with intervals from a bootstrap over examples.

    Without the columns stage, update and layer.
    """
    examples = logs.values.shape[1]
    weights = rng.multinomial(
        examples, np.full(examples, 1 / examples), size=limits.bootstrap
    ).astype(float)
    mean, rms = _mean(logs), _rms(logs)
    D, U = carry(mean, rms, lag)
    D_draws, U_draws = carry(_mean(logs, weights), _rms(logs, weights), lag)
    judged = slice(1, lag + 1)
    bad = (logs.exists & ~logs.good)[..., judged].any(-1).mean(-1)
    return [
        _row(mean[m], D[m], U[m], D_draws[m], U_draws[m], float(bad[m]), lag, limits)
        for m in range(len(D))
    ]


def _row(
    mean: Array,
    D: float,
    U: float,
    D_draws: Array,
    U_draws: Array,
    bad: float,
    lag: int,
    limits: Thresholds,
) -> dict[str, Any]:
    state, margin = state_of(float(D), float(U), limits)
    if bad > limits.undefined:
        state, margin = "undefined", math.nan
    slope, residual_sd = _line(mean[1 : lag + 1])
    horizon, censored = _horizon(mean, limits.horizon)
    return {
        "lag": lag,
        "D": float(D),
        **dict(zip(("D_low", "D_high"), _interval(D_draws), strict=True)),
        "U": float(U),
        **dict(zip(("U_low", "U_high"), _interval(U_draws), strict=True)),
        "state": state,
        "margin": margin,
        "slope": slope,
        "residual_sd": residual_sd,
        "horizon": horizon,
        "horizon_censored": censored,
        "undefined_share": bad,
    }


def _interval(draws: Array) -> tuple[float, float]:
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return math.nan, math.nan
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _line(mean: Array) -> tuple[float, float]:
    """(least-squares slope in decades per step, sd of the residuals); NaN below three lags."""
    known = np.isfinite(mean)
    if known.sum() < 3:
        return math.nan, math.nan
    x, y = np.arange(1, len(mean) + 1)[known], mean[known]
    slope, start = np.polyfit(x, y, 1)
    return float(slope), float(np.std(y - (slope * x + start), ddof=2))


def _horizon(mean: Array, share: float) -> tuple[int | None, bool | None]:
    """(largest lag with transport of at least `share` of lag 1, whether it is the longest lag)."""
    if not np.isfinite(mean[1:2]).all() or len(mean) < 2:
        return None, None
    measured = np.flatnonzero(np.isfinite(mean))
    reached = measured[(mean[measured] - mean[1] >= math.log10(share)) & (measured >= 1)]
    return int(reached[-1]), bool(reached[-1] == len(mean) - 1)
