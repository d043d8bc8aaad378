"""Recurrent weights whose rows have equal norm."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer, require


class UnitNormRows(Initializer):
    """Normal rows, each scaled to `norm`, so that all units receive inputs of equal strength."""

    def __init__(self, *, norm: float) -> None:
        require(norm > 0, "unit_norm_rows", "norm", "greater than 0", norm)
        self.norm = norm

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        rows = torch.randn(block.shape, dtype=torch.float64, generator=generator)
        return self.norm * rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
