"""Shared by the probes of gradients by lag: anchors and lags, gradients at the states, their norms,
the turn from steps to lags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.profiles import judged_lag
from study.interfaces import LagNorms, Trace, Unrolled
from study.records import StudyError


def anchors(trace: Trace, count: int) -> list[Tensor]:
    """Steps [B] whose loss is followed back: the last one of terminal losses, `count` evenly spaced
    ones of losses at every step.
    """
    last = trace.last_step
    if not trace.facts.every_step:
        return [last]
    first = min(trace.facts.lag or int(0.9 * int(last.min())), int(last.min()))
    return [
        (first + (last - first) * part).round().long()
        for part in torch.linspace(0, 1, count, dtype=torch.float64)
    ]


def lags_fit(lags: Sequence[int] | None, longest: int, *, first: int) -> None:
    """Raise the ValueError that says what to do where `lags` are not all between `first` and the
    longest lag of the sequences.
    """
    if longest < first:
        raise ValueError(
            "sequences of one step have no lag; leave the probe out of the list probe=[…]"
        )
    wrong = [lag for lag in lags or () if not first <= lag <= longest]
    if wrong:
        allowed = (
            f"between {first} and {longest} (the longest sequence has {longest + 1} steps), or null"
            " for lags of the task's own"
        )
        raise ValueError(f"lags must lie {allowed}, got {', '.join(map(str, wrong))}")


def examples_fit(examples: int, there: int) -> None:
    """Raise the ValueError that says what to do where the probe batch has fewer examples than asked
    for.
    """
    if not 1 <= examples <= there:
        raise ValueError(
            f"examples must lie between 1 and {there}, the size of the probe batch"
            f" (health.examples), got {examples}"
        )


def chosen_lags(
    probe: str, lags: Sequence[int] | None, last: Tensor, task_lag: int | None, *, first: int
) -> list[int]:
    """The lags a probe was asked for, of examples that end at `last` [B].

    None: `first`, and 10 %, 50 % and 100 % of K, the lag that is judged (the task's, or 90 % of the
    length). Planning has checked them against the task's steps; StudyError where the examples
    themselves are shorter.
    """
    longest = int(last.max())
    try:
        lags_fit(lags, longest, first=first)
    except ValueError as error:
        raise StudyError(f"probe.{probe}: {error}") from error
    if lags is not None:
        return sorted(set(lags))
    judged = judged_lag(task_lag, last.numpy())
    return sorted({min(max(round(share * judged), first), longest) for share in (0, 0.1, 0.5, 1)})


def first_examples(probe: str, examples: int, trace: Trace) -> int:
    """`examples`, if the probe batch has as many; else StudyError."""
    try:
        examples_fit(examples, len(trace.last_step))
    except ValueError as error:
        raise StudyError(f"probe.{probe}: {error}") from error
    return examples


def norm(x: Tensor) -> Tensor:
    """Euclidean norm over the last axis that neither overflows nor underflows between 1e-300 and
    1e300.
    """
    # five times as fast as torch.linalg.vector_norm where the last axis is not the innermost
    found = x.square().sum(-1).sqrt()
    limits = torch.finfo(x.dtype)
    # no square of weight was too small or too large; the others once more
    exact = (found > limits.tiny**0.5 / limits.eps) & found.isfinite()
    if not exact.all():
        rest = x[~exact]
        largest = rest.abs().amax(-1, keepdim=True)
        scale = torch.where((largest > 0) & largest.isfinite(), largest, 1.0)
        found[~exact] = (rest / scale).square().sum(-1).sqrt() * scale.squeeze(-1)
    return found


def gradient_norms(derivatives: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Tensor]]:
    """Norms [M, B, T] of total derivatives (Unrolled.derivatives), by layer and state.

    Non-finite ones keep their Inf or NaN.
    """
    return [
        {name: norm(derivative).transpose(1, 2) for name, derivative in layer.items()}
        for layer in derivatives
    ]


def state_gradients(unrolled: Unrolled, value: Tensor) -> list[Tensor]:
    """Per layer, the total derivative of Σ value at every state s_t: [M, T, B, S], S the widths of
    all its states.
    """
    return [torch.cat(list(layer.values()), dim=-1) for layer in unrolled.derivatives(value)]


def together(norms: Sequence[Tensor]) -> Tensor:
    """Norm of several state vectors as one, from their norms.

    Not by torch.hypot: it rounds what is left over after whole vectors differently.
    """
    return norms[0] if len(norms) == 1 else norm(torch.stack(tuple(norms), dim=-1))


def by_lag(norms: Tensor, start: Tensor, anchor: Tensor) -> LagNorms:
    """norms [M, B, T] as lags 0..T-1 back from anchor [B], relative to `start` [M, B, T] at the
    anchor; 0 relative to 0 is 0.
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
