"""Fast weights written by the delta rule (Schlag, Irie & Schmidhuber 2021, arXiv 2102.11174)."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Cell, Parameter, Params, State
from study.numerics.linear import linear

SMALL = 1e-6  # least length that a key is divided by


class DeltaNet(Cell):
    """S_t = S_{t-1} + β (v − S_{t-1} k) kᵀ, h_t = S_t q: what k stood for is replaced by v.

    q, k, v = W x_t + b, β = σ(w·x_t + c), and q and k are SiLUs of length 1, as in Yang et al. 2024
    (arXiv 2406.06484). The memory S [H, H] keeps Π(I − β k kᵀ) of what it held.
    """

    states = ("h", "memory")

    def widths(self, hidden: int) -> tuple[int, ...]:
        return hidden, hidden * hidden

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        wide = ("q", "k", "v")
        return (
            Parameter("weight_x", "input", wide, (hidden, inputs)),
            Parameter("weight_g", "input", ("beta",), (1, inputs)),
            Parameter("bias", "bias", wide, (hidden,)),
            Parameter("bias_g", "bias", ("beta",), (1,)),
        )

    def project(self, params: Params, x: Tensor) -> Tensor:
        q, k, v = linear(x, params["weight_x"], params["bias"]).chunk(3, dim=-1)
        beta = torch.sigmoid(linear(x, params["weight_g"], params["bias_g"]))
        return torch.cat([_unit(q), _unit(k), v, beta], dim=-1)

    def step(self, params: Params, x: Tensor, state: State) -> State:
        width = state[0].shape[-1]
        q, k, v, beta = x.split([width] * 3 + [1], dim=-1)
        memory = state[1].unflatten(-1, (width, width))
        held = (memory * k[..., None, :]).sum(-1)
        memory = memory + (beta * (v - held))[..., None] * k[..., None, :]
        return (memory * q[..., None, :]).sum(-1), memory.flatten(-2)


def _unit(z: Tensor) -> Tensor:
    """SiLU of z, of length 1 over the last axis."""
    z = torch.nn.functional.silu(z)
    return z * torch.rsqrt(z.square().sum(-1, keepdim=True) + SMALL**2)
