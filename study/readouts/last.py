"""Linear readout of the last valid step."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Parameter, Params, Readout
from study.numerics.linear import linear, linear_backward
from study.numerics.steps import Steps, spread


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
        states = (
            h[:, -1:].contiguous()
            if lengths is None and not torch.is_grad_enabled()
            else Steps.apply(h, _places(h, lengths))
        )
        return linear(states, params["weight"], params["bias"])[:, 0]

    def backward(
        self, params: Params, h: Tensor, lengths: Tensor | None, at_outputs: Tensor
    ) -> tuple[Tensor, Params]:
        places = None if lengths is None and h.shape[1] == 1 else _places(h, lengths)
        states = h.contiguous() if places is None else h.gather(1, places)
        at_states, weight, bias = linear_backward(states, params["weight"], at_outputs[:, None])
        at_h = at_states if places is None else spread(at_states, places, h.shape[1])
        return at_h, {"weight": weight, "bias": bias}


def _places(h: Tensor, lengths: Tensor | None) -> Tensor:
    """Each example's last valid step, [M, 1, B, H]."""
    members, steps, batch, hidden = h.shape
    last = (
        h.new_full((members, batch), steps - 1, dtype=torch.long)
        if lengths is None
        else lengths - 1
    )
    return last[:, None, :, None].expand(-1, 1, -1, hidden)
