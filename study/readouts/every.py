"""Linear readout of every step."""

from __future__ import annotations

from torch import Tensor

from study.interfaces import Parameter, Params, Readout
from study.numerics.linear import linear, linear_backward


class Every(Readout):
    """y_t = W h_t + b for every step."""

    every_step = True

    def shapes(self, hidden: int, outputs: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight", "readout", ("y",), (outputs, hidden)),
            Parameter("bias", "bias", ("y",), (outputs,)),
        )

    def __call__(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        return linear(h, params["weight"], params["bias"]).transpose(1, 2)

    def backward(
        self, params: Params, h: Tensor, lengths: Tensor | None, at_outputs: Tensor
    ) -> tuple[Tensor, Params]:
        at_h, weight, bias = linear_backward(h, params["weight"], at_outputs.transpose(1, 2))
        return at_h, {"weight": weight, "bias": bias}
