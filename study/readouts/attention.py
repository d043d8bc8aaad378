"""Linear readout of attention-weighted mean states (Raffel & Ellis 2015, arXiv:1512.08756)."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Parameter, Params, Readout
from study.numerics.linear import linear


class Attention(Readout):
    """e_t = v·tanh(U h_t + c), α = softmax of e over valid steps, y = W Σ_t α_t h_t + b.

    Every state has a direct path to the loss in addition to the one through time. The transport
    probe, and thus the verdict, measures the recurrence alone; the loss profile includes both
    paths. The probe `attention` records α of the probe examples.
    """

    every_step = False

    def shapes(self, hidden: int, outputs: int) -> tuple[Parameter, ...]:
        return (
            Parameter("attend_weight", "readout", ("e",), (hidden, hidden)),
            Parameter("attend_bias", "bias", ("e",), (hidden,)),
            Parameter("attend_score", "readout", ("e",), (1, hidden)),
            Parameter("weight", "readout", ("y",), (outputs, hidden)),
            Parameter("bias", "bias", ("y",), (outputs,)),
        )

    def attention(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        hidden = torch.tanh(linear(h, params["attend_weight"], params["attend_bias"]))
        e = linear(hidden, params["attend_score"], None)[..., 0]
        if lengths is not None:
            steps = torch.arange(h.shape[1], device=h.device)[:, None]
            e = e.masked_fill(steps >= lengths[:, None], -torch.inf)
        return torch.softmax(e, dim=1)

    def __call__(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        context = (self.attention(params, h, lengths)[..., None] * h).sum(1)
        return linear(context[:, None], params["weight"], params["bias"])[:, 0]
