"""The states of one step of each example, with a gradient laid out for the kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Steps(torch.autograd.Function):
    """h [M, T, B, H], index [M, 1, B, H] -> the states of one step each, [M, 1, B, H].

    As gather, but the gradient, zeros nearly everywhere, has examples as its innermost axis: as
    compiled kernels read it.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, index: Tensor) -> Tensor:
        ctx.index, ctx.steps = index, h.shape[1]
        return h.gather(1, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        members, _, batch, hidden = ctx.index.shape
        made = grads[0].new_zeros(members, ctx.steps, hidden, batch).transpose(2, 3)
        return made.scatter_(1, ctx.index, grads[0]), None
