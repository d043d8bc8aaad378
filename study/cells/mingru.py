"""Minimal gated recurrent unit (Feng, Tung, Ahmed, Bengio & Hajimirsadegh 2024, 2410.01201)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from study.cells.shared.linear_cell import LinearCell
from study.interfaces import Parameter, Params
from study.numerics.linear import linear


class MinGRU(LinearCell):
    """z_t = σ(W_z x_t + b_z), h̃_t = W_n x_t + b_n, h_t = (1 − z_t) ⊙ h_{t-1} + z_t ⊙ h̃_t.

    Gates read the input alone, so that h_t is linear in h_{t-1}: dh_t/dh_{t-k} = Π(1 − z). This is
    the paper's first form; its log-space form makes h̃ positive.
    """

    keep = {"z": -1}

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight_x", "input", ("z", "n"), (hidden, inputs)),
            Parameter("bias", "bias", ("z", "n"), (hidden,)),
        )

    def coefficients(self, params: Params, x: Tensor) -> tuple[Tensor, Tensor]:
        # gate by gate: parts of one product would have to be put together again on the way back
        weights, biases = params["weight_x"].chunk(2, dim=1), params["bias"].chunk(2, dim=1)
        z, n = (linear(x, w, b) for w, b in zip(weights, biases, strict=True))
        kept = torch.sigmoid(-z)
        return kept, (1 - kept) * n

    def named_gates(self, kept: Tensor) -> Mapping[str, Tensor]:
        return {"z": 1 - kept}
