"""Linear readout of the last valid step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from study.interfaces import Parameter, Params, Readout
from study.linear import linear


class Steps(torch.autograd.Function):
    """h [M, T, B, H], index [M, 1, B, H] -> the states of one step each, [M, 1, B, H].

    As gather, but the gradient, zeros nearly everywhere, has examples as its innermost axis: as compiled kernels read it.
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


class Last(Readout):
    """y = W h_T + b with T each example's own last step: reading at the padded end is a known mistake."""

    every_step = False

    def shapes(self, hidden: int, outputs: int) -> tuple[Parameter, ...]:
        return (Parameter("weight", "readout", ("y",), (outputs, hidden)), Parameter("bias", "bias", ("y",), (outputs,)))

    def __call__(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        members, steps, batch, hidden = h.shape
        last = h.new_full((members, batch), steps - 1, dtype=torch.long) if lengths is None else lengths - 1
        return linear(Steps.apply(h, last[:, None, :, None].expand(-1, 1, -1, hidden)), params["weight"], params["bias"])[:, 0]
