"""Linear recurrent network, as in Henaff, Szlam & LeCun 2016 (arXiv 1602.06662)."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Cell, Parameter, Params, State
from study.numerics.linear import linear


class Linear(Cell):
    """h_t = W_h h_{t-1} + W_x x_t + b: gradients are powers of W_h; what it computes is linear."""

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight_x", "input", ("h",), (hidden, inputs)),
            Parameter("weight_h", "recurrent", ("h",), (hidden, hidden)),
            Parameter("bias", "bias", ("h",), (hidden,)),
        )

    def project(self, params: Params, x: Tensor) -> Tensor:
        return linear(x, params["weight_x"], params["bias"])

    def step(self, params: Params, x: Tensor, state: State) -> State:
        return (torch.baddbmm(x, state[0], params["weight_h"].transpose(1, 2)),)
