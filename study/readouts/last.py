"""Linear readout of the last valid step."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Parameter, Params, Readout
from study.numerics.linear import linear
from study.numerics.steps import Steps


class Last(Readout):
    """y = W h_T + b with T each example's last valid step, never the padded end."""

    every_step = False
    last_step_only = True

    def shapes(self, hidden: int, outputs: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight", "readout", ("y",), (outputs, hidden)),
            Parameter("bias", "bias", ("y",), (outputs,)),
        )

    def __call__(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        members, steps, batch, hidden = h.shape
        last = (
            h.new_full((members, batch), steps - 1, dtype=torch.long)
            if lengths is None
            else lengths - 1
        )
        return linear(
            Steps.apply(h, last[:, None, :, None].expand(-1, 1, -1, hidden)),
            params["weight"],
            params["bias"],
        )[:, 0]
