"""LSTM with layer normalization (Ba, Kiros & Hinton 2016, arXiv 1607.06450, equations 20 to 22)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from study.cells.shared.gated import gate_parameters
from study.interfaces import Cell, Parameter, Params, State
from study.numerics.linear import linear

SMALL = 1e-5  # added to variances, as torch.nn.LayerNorm does


class LSTMLayerNorm(Cell):
    """The LSTM with LN(W_x x_t) + LN(W_h h_{t-1}) + b in its gates and o ⊙ tanh(LN(c_t)) as output.

    LN takes mean and variance over all values of its argument (4H, 4H and H of them) and has gains
    of its own, first 1; the bias b is the LSTM's, and LN(c_t) has one of its own, first 0.
    """

    states = ("h", "c")
    keep = {"f": 1}

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        gates = ("i", "f", "g", "o")
        return (
            *gate_parameters(gates, inputs, hidden),
            Parameter("gain_x", "own", gates, (hidden,)),
            Parameter("gain_h", "own", gates, (hidden,)),
            Parameter("gain_c", "own", ("c",), (hidden,)),
            Parameter("bias_c", "bias", ("c",), (hidden,)),
        )

    def first(self, inputs: int, hidden: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        widths = {"gain_x": 4 * hidden, "gain_h": 4 * hidden, "gain_c": hidden}
        return {name: torch.ones(width, dtype=torch.float64) for name, width in widths.items()}

    def project(self, params: Params, x: Tensor) -> Tensor:
        z = normalized(linear(x, params["weight_x"], None))
        return z * params["gain_x"][:, None, None] + params["bias"][:, None, None]

    def step(self, params: Params, x: Tensor, state: State) -> State:
        i, f, g, o = self._before(params, x, state[0]).chunk(4, dim=-1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        read = normalized(c) * params["gain_c"][:, None] + params["bias_c"][:, None]
        return torch.sigmoid(o) * torch.tanh(read), c

    def gates(self, params: Params, x: Tensor, state: State) -> Mapping[str, Tensor]:
        i, f, _, o = torch.sigmoid(self._before(params, x, state[0])).chunk(4, dim=-1)
        return {"i": i, "f": f, "o": o}

    def _before(self, params: Params, x: Tensor, h: Tensor) -> Tensor:
        z = normalized(torch.bmm(h, params["weight_h"].transpose(1, 2)))
        return x + z * params["gain_h"][:, None]


def normalized(z: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the last axis."""
    z = z - z.mean(dim=-1, keepdim=True)
    return z * torch.rsqrt(z.square().mean(dim=-1, keepdim=True) + SMALL)
