"""Plain recurrent network (Elman 1990)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from study.interfaces import Cell, Native, Parameter, Params, State, require
from study.kernels.rnn import RNNLayer
from study.kernels.step_norms import STEP_NORMS
from study.numerics.linear import linear


class RNN(Cell):
    """h_t = φ(W_x x_t + W_h h_{t-1} + b), φ = tanh or ReLU.

    Equals torch.nn.RNN with b = b_ih + b_hh.
    """

    activation: Callable[[Tensor], Tensor]

    def __init__(self, *, nonlinearity: Literal["tanh", "relu"]) -> None:
        require(
            nonlinearity in ("tanh", "relu"), "rnn", "nonlinearity", "tanh or relu", nonlinearity
        )
        self.activation = torch.tanh if nonlinearity == "tanh" else torch.relu

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight_x", "input", ("h",), (hidden, inputs)),
            Parameter("weight_h", "recurrent", ("h",), (hidden, hidden)),
            Parameter("bias", "bias", ("h",), (hidden,)),
        )

    def project(self, params: Params, x: Tensor) -> Tensor:
        return linear(x, params["weight_x"], params["bias"])

    def step(self, params: Params, x: Tensor, state: State) -> State:
        (h,) = state
        return (self.activation(torch.baddbmm(x, h, params["weight_h"].transpose(1, 2))),)

    def native(self, params: Params) -> Native:
        # imported here, since importing the compiler is slow
        from study.kernels.native import layer, rnn

        weight = layer.weights(params["weight_h"], params["weight_x"], params["bias"])
        return layer.Layer(
            rnn,
            (weight,),
            weight.shape[1],
            further=(self.activation is torch.relu,),
            rows=layer.plain(weight.shape[1]),
        )

    def layer(self, params: Params, x: Tensor) -> Tensor:
        return RNNLayer.apply(
            x,
            params["weight_x"],
            params["weight_h"],
            params["bias"],
            self.activation is torch.relu,
            params.get(STEP_NORMS),
        ).transpose(0, 1)
