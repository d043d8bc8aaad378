"""Shared by the probes of gradients by lag: gradients at the taps, their norms, and the turn from steps to lags."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from study.interfaces import LagNorms, Unrolled


def norm(x: Tensor) -> Tensor:
    """Euclidean norm over the last axis that neither overflows nor underflows between 1e-300 and 1e300."""
    largest = x.abs().amax(-1, keepdim=True)
    scale = torch.where((largest > 0) & largest.isfinite(), largest, torch.ones_like(largest))
    return torch.linalg.vector_norm(x / scale, dim=-1) * scale.squeeze(-1)


def gradient_norms(unrolled: Unrolled, outputs: Sequence[Tensor], cotangents: Sequence[Tensor]) -> list[dict[str, Tensor]]:
    """Per layer and state, norms [M, B, T] of the total derivative of Σ outputs·cotangents at every tap.

    Non-finite gradients keep their Inf or NaN; a tap no path leads to has norm 0.
    """
    taps = [tap for layer in unrolled.states for taps in layer.values() for tap in taps]
    grads = iter(torch.autograd.grad(outputs, taps, cotangents, retain_graph=True, allow_unused=True, materialize_grads=True))
    return [{name: torch.stack([norm(next(grads)) for _ in taps], dim=-1) for name, taps in layer.items()} for layer in unrolled.states]


def together(norms: Sequence[Tensor]) -> Tensor:
    """Norm of several state vectors as one, from their norms."""
    total = norms[0]
    for other in norms[1:]:
        total = torch.hypot(total, other)
    return total


def by_lag(norms: Tensor, start: Tensor, anchor: Tensor) -> LagNorms:
    """norms [M, B, T] as lags 0..T-1 back from anchor [B], relative to `start` [M, B, T] at the anchor."""
    steps = norms.shape[-1]
    index = anchor[:, None] - torch.arange(steps)
    exists = index >= 0
    where = index.clamp(min=0).to(norms.device).expand(norms.shape)
    first = start.gather(-1, anchor.to(start.device)[None, :, None].expand(start.shape[0], -1, 1))
    return LagNorms(norms=norms.gather(-1, where) / first, exists=exists)
