"""Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers 2000)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from study.interfaces import Cell, Native, Parameter, Params, State
from study.kernels.lstm import LSTMLayer
from study.kernels.step_norms import STEP_NORMS
from study.numerics.linear import linear


class LSTM(Cell):
    """i,f,o = σ(W [h_{t-1}, x_t] + b), g = tanh(…), c_t = f⊙c_{t-1} + i⊙g, h_t = o⊙tanh(c_t).

    Gate order i, f, g, o. Equals torch.nn.LSTM with b = b_ih + b_hh.
    """

    states = ("h", "c")
    keep = {"f": 1}

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        gates = ("i", "f", "g", "o")
        return (
            Parameter("weight_x", "input", gates, (hidden, inputs)),
            Parameter("weight_h", "recurrent", gates, (hidden, hidden)),
            Parameter("bias", "bias", gates, (hidden,)),
        )

    def project(self, params: Params, x: Tensor) -> Tensor:
        return linear(x, params["weight_x"], params["bias"])

    def step(self, params: Params, x: Tensor, state: State) -> State:
        h, c = state
        i, f, g, o = torch.baddbmm(x, h, params["weight_h"].transpose(1, 2)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def gates(self, params: Params, x: Tensor, state: State) -> Mapping[str, Tensor]:
        i, f, _, o = torch.sigmoid(
            torch.baddbmm(x, state[0], params["weight_h"].transpose(1, 2))
        ).chunk(4, dim=-1)
        return {"i": i, "f": f, "o": o}

    def native(self, params: Params) -> Native:
        # imported here, since importing the compiler is slow
        from study.kernels.native import layer, lstm

        weight = layer.weights(params["weight_h"], params["weight_x"], params["bias"])
        rows = layer.plain(weight.shape[1])
        return layer.Layer(lstm, (weight,), weight.shape[1] // 4, others=(1,), rows=rows)

    def layer(self, params: Params, x: Tensor) -> Tensor:
        return LSTMLayer.apply(
            x, params["weight_x"], params["weight_h"], params["bias"], params.get(STEP_NORMS)
        ).transpose(0, 1)
