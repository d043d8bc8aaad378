"""Orthogonal blocks (Saxe 2014), uniform over the orthogonal group (Mezzadri 2007)."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer, require
from study.numerics.linear import orthogonal


class Orthogonal(Initializer):
    """gain · Q with Q uniform over the orthogonal matrices: singular values all equal gain."""

    def __init__(self, *, gain: float) -> None:
        require(gain > 0, "orthogonal", "gain", "greater than 0", gain)
        self.gain = gain

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        rows, columns = block.shape
        return self.gain * orthogonal(rows, columns, generator)
