"""Independently recurrent network (Li, Li, Cook, Zhu & Gao 2018, arXiv 1803.04831)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from study.interfaces import Cell, Parameter, Params, State, require
from study.numerics.linear import linear


class IndRNN(Cell):
    """h_t = φ(W_x x_t + u ⊙ h_{t-1} + b), φ ReLU or tanh: each unit remembers itself alone.

    Gradients over k steps are products of u and φ' of one unit; layers mix units. The first u are
    uniform in [lowest, highest]; the paper also clips them while it trains, which is left out.
    """

    def __init__(self, *, nonlinearity: str, lowest: float, highest: float) -> None:
        require(
            nonlinearity in ("tanh", "relu"), "indrnn", "nonlinearity", "tanh or relu", nonlinearity
        )
        require(lowest <= highest, "indrnn", "lowest", f"at most highest = {highest}", lowest)
        self.function = torch.tanh if nonlinearity == "tanh" else torch.relu
        self.lowest, self.highest = lowest, highest

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight_x", "input", ("h",), (hidden, inputs)),
            Parameter("weight_u", "own", ("h",), (hidden,)),
            Parameter("bias", "bias", ("h",), (hidden,)),
        )

    def first(self, inputs: int, hidden: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        drawn = torch.rand(hidden, dtype=torch.float64, generator=generator)
        return {"weight_u": self.lowest + (self.highest - self.lowest) * drawn}

    def project(self, params: Params, x: Tensor) -> Tensor:
        return linear(x, params["weight_x"], params["bias"])

    def step(self, params: Params, x: Tensor, state: State) -> State:
        return (self.function(x + params["weight_u"][:, None] * state[0]),)
