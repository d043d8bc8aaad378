"""LSTM with peepholes (Gers, Schraudolph & Schmidhuber 2002)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from study.cells.shared.gated import gate_parameters
from study.interfaces import Cell, Parameter, Params, State
from study.numerics.linear import linear


class LSTMPeephole(Cell):
    """The LSTM whose gates also see the cell: i and f see p ⊙ c_{t-1}, o sees p ⊙ c_t.

    The weights p start at 0: at first it computes what the LSTM with the same weights does, so that
    a difference between both is what training made of the peepholes.
    """

    states = ("h", "c")
    keep = {"f": 1}

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (
            *gate_parameters(("i", "f", "g", "o"), inputs, hidden),
            Parameter("peepholes", "own", ("i", "f", "o"), (hidden,)),
        )

    def first(self, inputs: int, hidden: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        return {"peepholes": torch.zeros(3 * hidden, dtype=torch.float64)}

    def project(self, params: Params, x: Tensor) -> Tensor:
        return linear(x, params["weight_x"], params["bias"])

    def step(self, params: Params, x: Tensor, state: State) -> State:
        (i, f, g, o), (_, _, at_o) = self._before(params, x, state), _each(params)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o + at_o * c) * torch.tanh(c), c

    def gates(self, params: Params, x: Tensor, state: State) -> Mapping[str, Tensor]:
        (i, f, g, o), (_, _, at_o) = self._before(params, x, state), _each(params)
        i, f = torch.sigmoid(i), torch.sigmoid(f)
        return {"i": i, "f": f, "o": torch.sigmoid(o + at_o * (f * state[1] + i * torch.tanh(g)))}

    def _before(self, params: Params, x: Tensor, state: State) -> tuple[Tensor, ...]:
        h, c = state
        i, f, g, o = torch.baddbmm(x, h, params["weight_h"].transpose(1, 2)).chunk(4, dim=-1)
        at_i, at_f, _ = _each(params)
        return i + at_i * c, f + at_f * c, g, o


def _each(params: Params) -> tuple[Tensor, ...]:
    """The weights of i, f and o, each [M, 1, H]."""
    return params["peepholes"][:, None].chunk(3, dim=-1)
