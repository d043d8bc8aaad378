"""He (2015): weights for ReLU units."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer


class He(Initializer):
    """N(0, 2/fan_in), fan_in of the gate's block: gain √2 preserves the scale of ReLU units."""

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        return (
            torch.randn(block.shape, dtype=torch.float64, generator=generator)
            * (2.0 / block.shape[1]) ** 0.5
        )
