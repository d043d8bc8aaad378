"""Gated recurrent unit, reset before the recurrent product (Cho 2014): the textbook form."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from study.interfaces import Cell, Native, Parameter, Params, State
from study.kernels.gru import GRULayer
from study.kernels.step_norms import STEP_NORMS
from study.numerics.linear import linear


class GRU(Cell):
    """r,z = σ(W [h_{t-1}, x_t] + b), h̃ = tanh(W [r⊙h_{t-1}, x_t] + b), h_t = (1-z)⊙h_{t-1} + z⊙h̃.

    torch.nn.GRU is another cell: it resets after the product and swaps z and 1-z; see
    gru_reset_after.
    """

    keep = {"z": -1}

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        gates = ("r", "z", "n")
        return (
            Parameter("weight_x", "input", gates, (hidden, inputs)),
            Parameter("weight_h", "recurrent", gates, (hidden, hidden)),
            Parameter("bias", "bias", gates, (hidden,)),
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
        n = torch.tanh(torch.baddbmm(x[..., 2 * width :], r * h, weight[..., 2 * width :]))
        return (h + z * (n - h),)

    def gates(self, params: Params, x: Tensor, state: State) -> Mapping[str, Tensor]:
        rows = slice(0, 2 * state[0].shape[-1])
        r, z = torch.sigmoid(
            torch.baddbmm(x[..., rows], state[0], params["weight_h"][:, rows].transpose(1, 2))
        ).chunk(2, dim=-1)
        return {"r": r, "z": z}

    def native(self, params: Params) -> Native:
        # imported here, since importing the compiler is slow
        from study.kernels.native import gru, layer

        weight = layer.weights(params["weight_h"], params["weight_x"], params["bias"])
        hidden = weight.shape[1] // 3
        parts = weight[:, : 2 * hidden], weight[:, 2 * hidden :]
        return layer.Layer(gru, parts, hidden, rows=layer.plain(3 * hidden))

    def layer(self, params: Params, x: Tensor) -> Tensor:
        return GRULayer.apply(
            x, params["weight_x"], params["weight_h"], params["bias"], params.get(STEP_NORMS)
        ).transpose(0, 1)
