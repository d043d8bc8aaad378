"""Gated recurrent unit, reset after the recurrent product: the form of cuDNN and torch.nn.GRU."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from study.interfaces import Cell, Native, Parameter, Params, State
from study.numerics.linear import linear


class GRUResetAfter(Cell):
    """r,z = σ(W x_t + U h_{t-1} + b), n = tanh(W x_t + b_in + r⊙(U h_{t-1} + b_hn)).

    h_t = (1-z)⊙n + z⊙h_{t-1}. Equals torch.nn.GRU if b_r and b_z are the sums of its two biases.
    """

    keep = {"z": 1}

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        gates = ("r", "z", "n")
        return (
            Parameter("weight_x", "input", gates, (hidden, inputs)),
            Parameter("weight_h", "recurrent", gates, (hidden, hidden)),
            Parameter("bias", "bias", gates, (hidden,)),
            Parameter("bias_hn", "bias", ("hn",), (hidden,)),
        )

    def project(self, params: Params, x: Tensor) -> Tensor:
        return linear(x, params["weight_x"], params["bias"])

    def step(self, params: Params, x: Tensor, state: State) -> State:
        (h,) = state
        width = h.shape[-1]
        weight = params["weight_h"].transpose(1, 2)
        r, z = torch.sigmoid(torch.baddbmm(x[..., : 2 * width], h, weight[..., : 2 * width])).chunk(
            2, dim=-1
        )
        n = torch.tanh(
            x[..., 2 * width :]
            + r * torch.baddbmm(params["bias_hn"][:, None], h, weight[..., 2 * width :])
        )
        return (n + z * (h - n),)

    def gates(self, params: Params, x: Tensor, state: State) -> Mapping[str, Tensor]:
        rows = slice(0, 2 * state[0].shape[-1])
        r, z = torch.sigmoid(
            torch.baddbmm(x[..., rows], state[0], params["weight_h"][:, rows].transpose(1, 2))
        ).chunk(2, dim=-1)
        return {"r": r, "z": z}

    def native(self, params: Params) -> Native:
        # imported here, since importing the compiler is slow
        from study.kernels.native import gru_reset_after, layer

        hidden = params["bias_hn"].shape[-1]
        (weight_h, h_n), (weight_x, x_n), (bias, b_n) = (
            params[name].split(2 * hidden, dim=1) for name in ("weight_h", "weight_x", "bias")
        )
        parts = (
            layer.weights(weight_h, weight_x, bias),
            layer.weights(h_n, torch.zeros_like(x_n), params["bias_hn"]),
            layer.weights(torch.zeros_like(h_n), x_n, b_n),
        )
        rows = (
            layer.Rows(2 * hidden, ("weight_h", 0), ("weight_x", 0), ("bias", 0)),
            layer.Rows(hidden, ("weight_h", 2 * hidden), None, ("bias_hn", 0)),
            layer.Rows(hidden, None, ("weight_x", 2 * hidden), ("bias", 2 * hidden)),
        )
        return layer.Layer(gru_reset_after, (torch.cat(parts, dim=1),), hidden, rows=rows)
