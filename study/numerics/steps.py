"""Selects the states of one step per example; its gradient is laid out for the kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Steps(torch.autograd.Function):
    """h [M, T, B, H], index [M, 1, B, H] -> the states of one step per example, [M, 1, B, H].

    Like gather, but examples are the innermost axis of the (mostly zero) gradient, the layout that
    compiled kernels read.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, index: Tensor) -> Tensor:
        ctx.index, ctx.steps = index, h.shape[1]
        return h.gather(1, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return spread(grads[0], ctx.index, ctx.steps), None


def spread(grad: Tensor, index: Tensor, steps: int) -> Tensor:
    """The gradient [M, T, B, H] at h from that of the chosen states [M, 1, B, H]."""
    members, _, batch, hidden = index.shape
    gradient = grad.new_zeros(members, steps, hidden, batch).transpose(2, 3)
    return gradient.scatter_(1, index, grad)
