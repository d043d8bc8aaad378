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
        # gate by gate: parts of one product would have to be put together again on the way back
        weights, biases = params["weight_x"].chunk(3, dim=1), params["bias"].chunk(3, dim=1)
        f, i, n = (linear(x, w, b) for w, b in zip(weights, biases, strict=True))
        # f/(f + i) of the two sigmoids, from their logarithms: no division of two tiny numbers
        share = torch.nn.functional.logsigmoid(f) - torch.nn.functional.logsigmoid(i)
        return torch.sigmoid(share), torch.sigmoid(-share) * n

    def named_gates(self, kept: Tensor) -> Mapping[str, Tensor]:
        return {"f": kept, "i": 1 - kept}
