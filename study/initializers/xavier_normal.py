"""Xavier (Glorot & Bengio 2010), normal."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer


class XavierNormal(Initializer):
    """Variance 2/(fan_in + fan_out), fans of the gate's block."""

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        fan_out, fan_in = block.shape
        return (
            torch.randn(block.shape, dtype=torch.float64, generator=generator)
            * (2.0 / (fan_in + fan_out)) ** 0.5
        )
