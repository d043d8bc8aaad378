"""Summaries of a run: the verdict (how transport changed) and the outcome (whether it learned)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


def verdict(first: str, last: str) -> str:
    """The change from the first to the last state, in one word."""
    if last == "exploding":
        return "explodes"
    if last == "carrying" and first == "carrying":
        return "carries"
    if last == "carrying" and first in ("vanishing", "fading"):
        return "opens"
    if last == "vanishing" and first == "vanishing":
        return "shut"
    if last == "vanishing" and first in ("carrying", "fading"):
        return "closes"
    return "mixed"


def opened_at(states: Sequence[Mapping[str, Any]], end: int) -> int | None:
    """Update of the first probe from which the state stays carrying; None if no probe carries.

    For runs that end carrying. The last `end` probes, whose median is the end state, count as one,
    so that a single one below the limit does not matter.
    """
    at = None
    for row in states[:-end]:
        at = (row["update"] if at is None else at) if row["state"] == "carrying" else None
    return (
        at
        if at is not None
        else next((row["update"] for row in states[-end:] if row["state"] == "carrying"), None)
    )


def opened_loss(
    opened_at: int, updates: Sequence[int], val_loss: Sequence[float], baseline_loss: float
) -> float | None:
    """Validation loss at the update where a run opened, as a share of the baseline's.

    Interpolated between validations (`updates`, `val_loss`): no finding where these lie far apart.
    None where the baseline is perfect: nothing is a share of 0.
    """
    if baseline_loss <= 0:
        return None
    return float(np.interp(opened_at, updates, val_loss) / baseline_loss)


@dataclass(frozen=True)
class OutcomeLimits:
    """The settings of the `health` node that outcomes need."""

    stuck: float
    blown: float
    spike: float
    radius_jump: float
    radius_blown: float
    saturation_jump: float


@dataclass(frozen=True)
class Run:
    """The course of one point's training; `solved`: its last validation met the task's rule.

    updates, val_loss: by validation. grad_norm: by update. radius, saturation: spectral radius and
    share of saturated states by stage, the largest over layers; empty if not probed.
    """

    diverged: bool
    solved: bool
    updates: Sequence[int]
    val_loss: Sequence[float]
    baseline_loss: float
    grad_norm: Sequence[float]
    radius: Sequence[float]
    saturation: Sequence[float]


def outcome(run: Run, limits: OutcomeLimits) -> str:
    """solved | learning | stuck | diverged | silently diverged.

    Silent divergence takes precedence over solved: a network that has forgotten what it had learned
    is not a solution. Where the baseline is perfect, no loss lies below it: nothing is stuck then.
    """
    if run.diverged:
        return "diverged"
    if silently_diverged(run, limits):
        return "silently diverged"
    if run.solved:
        return "solved"
    return (
        "stuck"
        if run.baseline_loss > 0
        and min(run.val_loss, default=math.inf) >= limits.stuck * run.baseline_loss
        else "learning"
    )


def silently_diverged(run: Run, limits: OutcomeLimits) -> bool:
    """Whether the weights blew up without any NaN, so that NaN checks miss it.

    True if the loss stays at or above the baseline until the end, the spectral radius or the
    saturation has jumped, and one of these happened before: progress, a spike of the gradient, a
    loss far above the baseline, or growth of the spectral radius by `radius_blown`. The last two
    catch large steps that fail in the first updates, before there is progress or a norm to compare
    with.
    """
    baseline = limits.stuck * run.baseline_loss
    loss = np.asarray(run.val_loss, dtype=float)
    if run.baseline_loss <= 0 or len(loss) < 3:
        return False
    if not (loss[-1] >= baseline and loss[-2] >= baseline):
        return False
    progress = bool((loss < baseline).any())
    spike = spike_update(run.grad_norm, limits.spike)
    blown = limits.blown * run.baseline_loss
    blew_up = loss[0] < blown and min(loss[-1], loss[-2]) >= blown
    grown = _jumped(run.radius, limits.radius_blown, ratio=True)
    if not progress and spike is None and not blew_up and not grown:
        return False
    return _jumped(run.radius, limits.radius_jump, ratio=True) or _jumped(
        run.saturation, limits.saturation_jump, ratio=False
    )


def spike_update(norms: Sequence[float], z: float) -> int | None:
    """First update whose log gradient norm is more than z sd above the mean before it.

    At least 10 updates must precede it.
    """
    with np.errstate(all="ignore"):
        logs = np.log(np.asarray(norms, dtype=float))
    logs = np.where(np.isfinite(logs), logs, np.nan)
    count = np.cumsum(np.isfinite(logs))
    filled = np.nan_to_num(logs)
    mean = np.cumsum(filled) / np.maximum(count, 1)
    spread = np.sqrt(np.maximum(np.cumsum(filled**2) / np.maximum(count, 1) - mean**2, 1e-4))
    for update in range(10, len(logs)):
        if logs[update] > mean[update - 1] + z * spread[update - 1]:
            return update
    return None


def _jumped(series: Sequence[float], limit: float, *, ratio: bool) -> bool:
    """Whether the last stage exceeds the lowest before it by `limit`, a factor if `ratio`."""
    finite = [value for value in series if math.isfinite(value)]
    if len(finite) < 2:
        return False
    low, last = min(finite[:-1]), finite[-1]
    return last >= low * limit if ratio else last >= low + limit
