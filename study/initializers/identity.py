"""Identity recurrence (IRNN, Le 2015): a ReLU network that starts as a sum of its inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer, require


class Identity(Initializer):
    """W_h = alpha·I, W_x ~ N(0, input_std²), biases 0."""

    roles = ("recurrent", "input", "bias")

    def __init__(self, *, alpha: float, input_std: float) -> None:
        require(alpha > 0, "identity", "alpha", "greater than 0", alpha)
        require(input_std > 0, "identity", "input_std", "greater than 0", input_std)
        self.alpha, self.input_std = alpha, input_std

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        if block.role == "recurrent":
            return self.alpha * torch.eye(*block.shape, dtype=torch.float64)
        if block.role == "input":
            return self.input_std * torch.randn(
                block.shape, dtype=torch.float64, generator=generator
            )
        return torch.zeros(block.shape, dtype=torch.float64)
