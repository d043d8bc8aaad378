"""Linear readout of the last valid step."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Parameter, Params, Readout
from study.linear import linear


class Last(Readout):
    """y = W h_T + b with T each example's own last step: reading at the padded end is a known mistake."""

    every_step = False

    def shapes(self, hidden: int, outputs: int) -> tuple[Parameter, ...]:
        return (Parameter("weight", "readout", ("y",), (outputs, hidden)), Parameter("bias", "bias", ("y",), (outputs,)))

    def __call__(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        if lengths is None:
            last = h[:, -1:]
        else:
            index = (lengths - 1)[:, None, :, None].expand(-1, 1, -1, h.shape[-1])
            last = torch.gather(h, 1, index)
        return linear(last, params["weight"], params["bias"])[:, 0]
