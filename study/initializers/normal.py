"""Independent normal weights."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer, require


class Normal(Initializer):
    """N(0, std²); std auto is 1/√fan_in, which gives a recurrent block gain 1."""

    def __init__(self, *, std: Literal["auto"] | float) -> None:
        require(
            std == "auto" or (not isinstance(std, str) and std > 0),
            "normal",
            "std",
            "auto or a number greater than 0",
            std,
        )
        self.std = std

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        std = block.shape[1] ** -0.5 if self.std == "auto" else float(self.std)
        return std * torch.randn(block.shape, dtype=torch.float64, generator=generator)
