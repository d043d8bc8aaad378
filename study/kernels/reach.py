"""How much gradient reaches each step, read off the backward pass that training makes anyway.

A layer's parameters may hold REACH, a leaf of zeros [M, T, B] in float64 that nothing is computed
from. What a kernel gives as its gradient is ‖∂L/∂h_t‖² of every step and example: the total
derivative, which its way back holds in its hands.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

REACH = "reach"


def squares(dh: Tensor) -> Tensor:
    """‖·‖² over the last axis, in float64: squares of float32 would be 0 from 1e-23 on."""
    return dh.double().square().sum(-1)


class Tap(torch.autograd.Function):
    """h_t [M, B, H] as it is; the leaf's part [M, B] gets the square of what comes back to it."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, reach: Tensor) -> Tensor:
        return h.view_as(h)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        return grads[0], squares(grads[0])
