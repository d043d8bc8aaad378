"""Shared by probes of gradients by lag: anchors, lags, gradients at the states and their norms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.profiles import judged_lag
from study.interfaces import LagNorms, Trace, Unrolled
from study.records import StudyError


def anchors(trace: Trace, count: int) -> list[Tensor]:
    """The steps [B] whose loss is propagated back.

    The last valid step, or `count` evenly spaced steps if there is a loss at every step.
    """
    last = trace.last_step
    if not trace.facts.every_step:
        return [last]
    first = min(trace.facts.lag or int(0.9 * int(last.min())), int(last.min()))
    return [
        (first + (last - first) * part).round().long()
        for part in torch.linspace(0, 1, count, dtype=torch.float64)
    ]


def anchor_from_end(trace: Trace, anchor: Tensor) -> Tensor:
    """The anchor [B] in the steps of a layer that reads the sequence from its end.

    At the loss of one step it has read the steps after that; the output of a whole sequence reads
    its last state, which has read all of them.
    """
    return trace.last_step - anchor if trace.facts.every_step else anchor


def shifted(norms: Tensor, own: Tensor, anchor: Tensor) -> Tensor:
    """norms [M, B, T] moved in time so that step `own` [B] becomes step `anchor`; else zeros."""
    steps = norms.shape[-1]
    index = (own - anchor)[:, None] + torch.arange(steps)
    inside = ((index >= 0) & (index < steps)).to(norms.device)
    moved = norms.gather(-1, index.clamp(0, steps - 1).to(norms.device).expand(norms.shape))
    return torch.where(inside, moved, 0.0)


def check_lags(lags: Sequence[int] | None, longest: int, *, first: int) -> None:
    """Raise a ValueError that says what to do unless `first` <= lag <= `longest` for all lags."""
    if longest < first:
        raise ValueError(
            "sequences of one step have no lag; leave the probe out of the list probe=[…]"
        )
    wrong = [lag for lag in lags or () if not first <= lag <= longest]
    if wrong:
        allowed = (
            f"between {first} and {longest} (the longest sequence has {longest + 1} steps), or null"
            " to derive them from the task"
        )
        raise ValueError(f"lags must lie {allowed}, got {', '.join(map(str, wrong))}")


def check_examples(examples: int, available: int) -> None:
    """Raise a ValueError that says what to do if the probe batch has too few examples."""
    if not 1 <= examples <= available:
        raise ValueError(
            f"examples must lie between 1 and {available}, the size of the probe batch"
            f" (health.examples), got {examples}"
        )


def chosen_lags(
    probe: str, lags: Sequence[int] | None, last: Tensor, task_lag: int | None, *, first: int
) -> list[int]:
    """The sorted lags of a probe, for examples that end at `last` [B].

    None: `first`, and 10 %, 50 % and 100 % of K, the judged lag (the task's, or 90 % of the
    length). StudyError if the examples are too short; planning has checked the task's length only.
    """
    longest = int(last.max())
    try:
        check_lags(lags, longest, first=first)
    except ValueError as error:
        raise StudyError(f"probe.{probe}: {error}") from error
    if lags is not None:
        return sorted(set(lags))
    judged = judged_lag(task_lag, last.numpy())
    return sorted({min(max(round(share * judged), first), longest) for share in (0, 0.1, 0.5, 1)})


def first_examples(probe: str, examples: int, trace: Trace) -> int:
    """`examples`; StudyError if the probe batch has fewer."""
    try:
        check_examples(examples, len(trace.last_step))
    except ValueError as error:
        raise StudyError(f"probe.{probe}: {error}") from error
    return examples


def norm(x: Tensor) -> Tensor:
    """Euclidean norm over the last axis, without over- or underflow between 1e-300 and 1e300."""
    # five times as fast as torch.linalg.vector_norm where the last axis is not the innermost
    found = x.square().sum(-1).sqrt()
    limits = torch.finfo(x.dtype)
    # exact unless squares under- or overflow; those rows are recomputed with scaling
    exact = (found > limits.tiny**0.5 / limits.eps) & found.isfinite()
    if not exact.all():
        rows = x[~exact]
        largest = rows.abs().amax(-1, keepdim=True)
        scale = torch.where((largest > 0) & largest.isfinite(), largest, 1.0)
        found[~exact] = (rows / scale).square().sum(-1).sqrt() * scale.squeeze(-1)
    return found


def gradient_norms(derivatives: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Tensor]]:
    """Norms [M, B, T] of total derivatives by layer and state; Inf and NaN stay."""
    return [
        {name: norm(derivative).transpose(1, 2) for name, derivative in layer.items()}
        for layer in derivatives
    ]


def state_gradients(unrolled: Unrolled, value: Tensor) -> list[Tensor]:
    """Total derivatives of Σ value at the states s_t of each layer, [M, T, B, S].

    S is the width of all states of a layer together.
    """
    return [torch.cat(list(layer.values()), dim=-1) for layer in unrolled.derivatives(value)]


def joint_norm(norms: Sequence[Tensor]) -> Tensor:
    """Norm of the concatenation of several vectors, from their norms.

    Not by torch.hypot, which rounds the remainder after whole vector registers differently.
    """
    return norms[0] if len(norms) == 1 else norm(torch.stack(tuple(norms), dim=-1))


def by_lag(norms: Tensor, start: Tensor, anchor: Tensor) -> LagNorms:
    """norms [M, B, T] by lag 0..T-1 back from `anchor` [B], relative to `start` at the anchor.

    `start`: [M, B, T]; 0 relative to 0 is 0.
    """
    steps = norms.shape[-1]
    index = anchor[:, None] - torch.arange(steps)
    exists = index >= 0
    where = index.clamp(min=0).to(norms.device).expand(norms.shape)
    first = start.gather(-1, anchor.to(start.device)[None, :, None].expand(start.shape[0], -1, 1))
    values = norms.gather(-1, where)
    return LagNorms(
        norms=torch.where((values == 0) & (first == 0), 0.0, values / first), exists=exists
    )
