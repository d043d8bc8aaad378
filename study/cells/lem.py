"""Long expressive memory (Rusch, Mishra, Erichson & Mahoney 2022, arXiv 2110.04744)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from study.cells.shared.gated import gate_parameters
from study.interfaces import Cell, Parameter, Params, State, require
from study.numerics.linear import linear


class LEM(Cell):
    """Two states with step lengths of their own, learnt: d, e = Δ σ(W [y, x_t] + b).

    z_t = (1 − d) ⊙ z + d ⊙ tanh(W_z y + V_z x_t + b_z), y_t = (1 − e) ⊙ y + e ⊙ tanh(W_y z_t +
    V_y x_t + b_y); y is the output h. Short steps keep the past.
    """

    states = ("h", "z")
    keep = {"d": -1, "e": -1}

    def __init__(self, *, step_length: float) -> None:
        require(
            0 < step_length <= 1, "lem", "step_length", "greater than 0, at most 1", step_length
        )
        self.step_length = step_length

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return gate_parameters(("d", "e", "z", "h"), inputs, hidden)

    def project(self, params: Params, x: Tensor) -> Tensor:
        return linear(x, params["weight_x"], params["bias"])

    def step(self, params: Params, x: Tensor, state: State) -> State:
        y, z = state
        width = y.shape[-1]
        weight = params["weight_h"].transpose(1, 2)
        first = torch.baddbmm(x[..., : 3 * width], y, weight[..., : 3 * width])
        d, e, new = first.chunk(3, dim=-1)
        d, e = self.step_length * torch.sigmoid(d), self.step_length * torch.sigmoid(e)
        z = z + d * (torch.tanh(new) - z)
        new = torch.baddbmm(x[..., 3 * width :], z, weight[..., 3 * width :])
        return y + e * (torch.tanh(new) - y), z

    def gates(self, params: Params, x: Tensor, state: State) -> Mapping[str, Tensor]:
        rows = slice(0, 2 * state[0].shape[-1])
        weight = params["weight_h"][:, rows].transpose(1, 2)
        d, e = torch.sigmoid(torch.baddbmm(x[..., rows], state[0], weight)).chunk(2, dim=-1)
        return {"d": d, "e": e}
