"""LeCun (1998, Efficient BackProp)."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer


class LeCun(Initializer):
    """N(0, 1/fan_in), fan_in of the gate's block: gain 1."""

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        return (
            torch.randn(block.shape, dtype=torch.float64, generator=generator)
            * block.shape[1] ** -0.5
        )
