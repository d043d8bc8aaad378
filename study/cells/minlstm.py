"""Minimal long short-term memory (Feng, Tung, Ahmed, Bengio & Hajimirsadegh 2024, 2410.01201)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from study.cells.shared.linear_cell import LinearCell
from study.interfaces import Parameter, Params
from study.numerics.linear import linear


class MinLSTM(LinearCell):
    """f_t, i_t = σ(W x_t + b), h_t = f/(f + i) ⊙ h_{t-1} + i/(f + i) ⊙ (W_n x_t + b_n).

    Gates read the input alone and add up to 1, so that h_t is linear in h_{t-1} and its scale does
    not depend on time.
    """

    keep = {"f": 1}

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        gates = ("f", "i", "n")
        return (
            Parameter("weight_x", "input", gates, (hidden, inputs)),
            Parameter("bias", "bias", gates, (hidden,)),
        )

    def coefficients(self, params: Params, x: Tensor) -> tuple[Tensor, Tensor]:
        f, i, n = linear(x, params["weight_x"], params["bias"]).chunk(3, dim=-1)
        # f/(f + i) of the two sigmoids, from their logarithms: no division of two tiny numbers
        share = torch.nn.functional.logsigmoid(f) - torch.nn.functional.logsigmoid(i)
        return torch.sigmoid(share), torch.sigmoid(-share) * n

    def named_gates(self, kept: Tensor) -> Mapping[str, Tensor]:
        return {"f": kept, "i": 1 - kept}
