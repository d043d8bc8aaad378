"""The residual block of today's recurrent layers (Gu, Goel & Ré 2022, arXiv 2111.00396; Orvieto
et al. 2023, 2303.06349, figure 1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import LayerBlock, Parameter, Params, require
from study.numerics.linear import linear


class PrenormResidual(LayerBlock):
    """y = x + (W_a u + b_a) ⊙ σ(W_g u + b_g), u = GELU(h), h = cell(LN(x)).

    Norm, cell, gated MLP, skip: gradients reach every layer through the skips, and a cell that is
    linear in its state becomes part of a network that is not. LN has the gain 1 + g and a bias; g
    and all biases start at 0. `small` is added to its variance.
    """

    def __init__(self, *, small: float) -> None:
        require(small > 0, "prenorm_residual", "small", "greater than 0", small)
        self.small = small

    def shapes(self, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("gain", "bias", ("x",), (hidden,)),
            Parameter("shift", "bias", ("x",), (hidden,)),
            Parameter("weight", "readout", ("a", "g"), (hidden, hidden)),
            Parameter("bias", "bias", ("a", "g"), (hidden,)),
        )

    def before(self, params: Params, x: Tensor) -> Tensor:
        x = x - x.mean(dim=-1, keepdim=True)
        x = x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + self.small)
        return x * (1 + params["gain"][:, None, None]) + params["shift"][:, None, None]

    def after(self, params: Params, x: Tensor, h: Tensor) -> Tensor:
        u = torch.nn.functional.gelu(h)
        a, g = linear(u, params["weight"], params["bias"]).chunk(2, dim=-1)
        return x + a * torch.sigmoid(g)
