"""Chrono initialization of gate biases (Tallec & Ollivier 2018)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer, require
from study.numerics.linear import orthogonal


class Chrono(Initializer):
    """Spreads the time scales of the keep gates up to t_max: bias ±ln u, u ~ U[1, t_max - 1].

    The sign is the one that keeps the past. The input gate "i" of an LSTM gets minus the bias of
    its forget gate. Other biases are 0, recurrent blocks orthogonal with `gain`. t_max auto: the
    task's lag, or its length if it declares none.
    """

    roles = ("recurrent", "bias")

    def __init__(self, *, t_max: Literal["auto"] | int, gain: float) -> None:
        require(gain > 0, "chrono", "gain", "greater than 0", gain)
        require(
            t_max == "auto" or (not isinstance(t_max, str) and t_max > 2),
            "chrono",
            "t_max",
            "auto or a number of steps above 2",
            t_max,
        )
        self.t_max, self.gain = t_max, gain

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        require(
            bool(facts.keep),
            "chrono",
            "cell",
            "one with a gate that keeps the past (lstm, gru); exclude other cells with"
            " study.exclude",
            "a cell without one",
        )
        if block.role == "recurrent":
            rows, columns = block.shape
            return self.gain * orthogonal(rows, columns, generator)
        paired = "f" in facts.keep and block.gate == "i"
        if block.gate not in facts.keep and not paired:
            return torch.zeros(block.shape, dtype=torch.float64)
        longest = (facts.lag or facts.steps) if self.t_max == "auto" else self.t_max
        # Paired gates share their draws, so these come from a stream per layer.
        u = 1 + (max(longest, 3) - 2) * torch.rand(
            block.shape, dtype=torch.float64, generator=facts.stream("chrono", block.layer)
        )
        return (-1 if paired else facts.keep[block.gate]) * u.log()
