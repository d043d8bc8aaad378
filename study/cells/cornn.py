"""Coupled oscillatory network: coRNN (Rusch & Mishra 2021, arXiv 2010.00951)."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Cell, Parameter, Params, State, require
from study.numerics.linear import linear


class CoRNN(Cell):
    """z_t = z + Δ (tanh(W y + V z + W_x x_t + b) − γ y − ε z), y_t = y + Δ z_t.

    y (the output h) are positions and z velocities of H driven, damped oscillators, at steps of
    length Δ. With Δ ≪ 1 states stay bounded and gradients neither vanish nor explode by much.
    """

    states = ("h", "z")

    def __init__(self, *, step_length: float, frequency: float, damping: float) -> None:
        require(step_length > 0, "cornn", "step_length", "greater than 0", step_length)
        require(frequency > 0, "cornn", "frequency", "greater than 0", frequency)
        require(damping >= 0, "cornn", "damping", "at least 0", damping)
        self.step_length, self.frequency, self.damping = step_length, frequency, damping

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight_x", "input", ("h",), (hidden, inputs)),
            Parameter("weight_h", "recurrent", ("h",), (hidden, hidden)),
            Parameter("weight_z", "recurrent", ("z",), (hidden, hidden)),
            Parameter("bias", "bias", ("h",), (hidden,)),
        )

    def project(self, params: Params, x: Tensor) -> Tensor:
        return linear(x, params["weight_x"], params["bias"])

    def step(self, params: Params, x: Tensor, state: State) -> State:
        y, z = state
        driven = torch.baddbmm(x, y, params["weight_h"].transpose(1, 2))
        driven = torch.tanh(torch.baddbmm(driven, z, params["weight_z"].transpose(1, 2)))
        z = z + self.step_length * (driven - self.frequency * y - self.damping * z)
        return y + self.step_length * z, z
