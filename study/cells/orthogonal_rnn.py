"""Recurrent network whose matrix stays orthogonal: Cayley's map (Helfrich, Willmott & Ye 2018).

arXiv 1707.09520; expRNN (Lezcano-Casado & Martínez-Rubio 2019, 1901.08428) maps by exp instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from study.interfaces import Cell, Parameter, Params, State
from study.numerics.linear import linear


class OrthogonalRNN(Cell):
    """h_t = φ(Q h_{t-1} + W_x x_t + b), Q = (I + A)⁻¹ (I − A), A = (S − Sᵀ)/2: Q Qᵀ = I always.

    φ is modReLU, sign(z) ReLU(|z| + b), whose slopes are 0 and 1 (b inside φ). At first Q turns
    pairs of units by angles uniform in [−π/2, π/2]. Gradients do not grow; they fade where units
    are shut.
    """

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight_x", "input", ("h",), (hidden, inputs)),
            Parameter("skew", "own", ("h",), (hidden, hidden)),
            Parameter("bias", "bias", ("h",), (hidden,)),
        )

    def first(self, inputs: int, hidden: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        angles = math.pi * (torch.rand(hidden // 2, dtype=torch.float64, generator=generator) - 0.5)
        skew = torch.zeros(hidden, hidden, dtype=torch.float64)
        places = 2 * torch.arange(hidden // 2)
        # a pair with A = ((0, s), (−s, 0)) is turned by 2 arctan(s)
        skew[places, places + 1] = torch.tan(angles / 2)
        return {"skew": skew - skew.T}

    def project(self, params: Params, x: Tensor) -> Tensor:
        return linear(x, params["weight_x"], None)

    def step(self, params: Params, x: Tensor, state: State) -> State:
        z = torch.baddbmm(x, state[0], orthogonal(params).transpose(1, 2))
        return (torch.sign(z) * torch.relu(z.abs() + params["bias"][:, None]),)


def orthogonal(params: Params) -> Tensor:
    """Q [M, H, H], by one linear system a member."""
    skew = (params["skew"] - params["skew"].transpose(1, 2)) / 2
    one = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device).expand_as(skew)
    return torch.linalg.solve(one + skew, one - skew)
