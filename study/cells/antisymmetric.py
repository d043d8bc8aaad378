"""Antisymmetric recurrent network (Chang, Chen, Haber & Chi 2019, arXiv 1902.09689)."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Cell, Parameter, Params, State, require
from study.numerics.linear import linear


class Antisymmetric(Cell):
    """h_t = h_{t-1} + ε tanh((M − Mᵀ − γI) h_{t-1} + W_x x_t + b).

    One Euler step of length ε of an equation whose Jacobian has eigenvalues near the imaginary
    axis: with small ε and γ, gradients neither grow nor shrink by much, whatever M is.
    """

    def __init__(self, *, step_length: float, damping: float) -> None:
        require(step_length > 0, "antisymmetric", "step_length", "greater than 0", step_length)
        require(damping >= 0, "antisymmetric", "damping", "at least 0", damping)
        self.step_length, self.damping = step_length, damping

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight_x", "input", ("h",), (hidden, inputs)),
            Parameter("weight_h", "recurrent", ("h",), (hidden, hidden)),
            Parameter("bias", "bias", ("h",), (hidden,)),
        )

    def project(self, params: Params, x: Tensor) -> Tensor:
        return linear(x, params["weight_x"], params["bias"])

    def step(self, params: Params, x: Tensor, state: State) -> State:
        (h,) = state
        M = params["weight_h"]
        pre = torch.baddbmm(x, h, M.transpose(1, 2) - M) - self.damping * h
        return (h + self.step_length * torch.tanh(pre),)
