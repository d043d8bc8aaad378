"""The default of torch.nn's recurrent layers."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer


class PyTorch(Initializer):
    """U(-1/√H, 1/√H) for all weights and biases of a layer: gain 0.577."""

    roles = ("recurrent", "input", "bias")

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        return (
            2 * torch.rand(block.shape, dtype=torch.float64, generator=generator) - 1
        ) * facts.hidden**-0.5
