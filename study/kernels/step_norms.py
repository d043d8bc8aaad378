"""Squared gradient norms of every step, taken from the backward pass of training.

A layer's parameters may hold STEP_NORMS, a dummy input of zeros [M, T, B] in float64 that takes no
part in the forward pass. A kernel returns ‖∂L/∂h_t‖² of every step and example as its gradient: the
norm of the total derivative, which its backward pass computes anyway.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

STEP_NORMS = "step_norms"


def squared_norms(dh: Tensor) -> Tensor:
    """‖·‖² over the last axis, in float64: float32 squares would underflow below 1e-23."""
    return dh.double().square().sum(-1)


class RecordNorms(torch.autograd.Function):
    """The identity on h_t [M, B, H]; `step_norms` [M, B] gets the squared norm of its gradient."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, step_norms: Tensor) -> Tensor:
        return h.view_as(h)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        return grads[0], squared_norms(grads[0])
