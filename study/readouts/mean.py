"""Linear readout of the mean state."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Parameter, Params, Readout
from study.numerics.linear import linear


class Mean(Readout):
    """y = W (1/T) Σ_t h_t + b over each example's T valid steps.

    Every state has a direct path to the loss, with equal weight.
    """

    every_step = False

    def shapes(self, hidden: int, outputs: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight", "readout", ("y",), (outputs, hidden)),
            Parameter("bias", "bias", ("y",), (outputs,)),
        )

    def __call__(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        if lengths is None:
            mean = h.sum(1) / h.shape[1]
        else:
            steps = torch.arange(h.shape[1], device=h.device)[:, None]
            padding = steps >= lengths[:, None]  # [M, T, B]
            mean = h.masked_fill(padding[..., None], 0.0).sum(1) / lengths[..., None]
        return linear(mean[:, None], params["weight"], params["bias"])[:, 0]
