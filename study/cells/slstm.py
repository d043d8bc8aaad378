"""LSTM with an exponential gate and a normalizer: sLSTM (Beck et al. 2024, arXiv 2405.04517)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from study.cells.shared.gated import gate_parameters
from study.interfaces import Cell, Parameter, Params, State
from study.numerics.linear import linear


class SLSTM(Cell):
    """i = exp(ĩ), f = σ(f̃), o = σ(õ), z = tanh(z̃): c = f c + i z, n = f n + i, h = o c / n.

    ĩ, f̃, õ, z̃ = W [h_{t-1}, x_t] + b. The state m carries the largest exponent so far, and c and n
    are kept divided by exp(m): what h is does not change (the paper's equations 15 to 17). The
    recurrent matrix is whole: one head.
    """

    states = ("h", "c", "n", "m")
    keep = {"f": 1}

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return gate_parameters(("i", "f", "z", "o"), inputs, hidden)

    def project(self, params: Params, x: Tensor) -> Tensor:
        return linear(x, params["weight_x"], params["bias"])

    def step(self, params: Params, x: Tensor, state: State) -> State:
        h, c, n, m = state
        i, f, z, o = torch.baddbmm(x, h, params["weight_h"].transpose(1, 2)).chunk(4, dim=-1)
        kept = torch.nn.functional.logsigmoid(f) + m
        largest = torch.maximum(kept, i)
        forget, add = torch.exp(kept - largest), torch.exp(i - largest)
        c, n = forget * c + add * torch.tanh(z), forget * n + add
        return torch.sigmoid(o) * c / n, c, n, largest

    def gates(self, params: Params, x: Tensor, state: State) -> Mapping[str, Tensor]:
        _, f, _, o = torch.sigmoid(
            torch.baddbmm(x, state[0], params["weight_h"].transpose(1, 2))
        ).chunk(4, dim=-1)
        return {"f": f, "o": o}
