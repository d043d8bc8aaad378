"""Orthogonal blocks (Saxe 2014), uniform over the orthogonal group (Mezzadri 2007)."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer, require


class Orthogonal(Initializer):
    """gain · Q, with Q from the QR decomposition of a normal matrix; singular values all equal gain.

    Q's columns take the signs of R's diagonal, or Q would not be uniformly distributed.
    """

    def __init__(self, *, gain: float) -> None:
        require(gain > 0, "orthogonal", "gain", "greater than 0", gain)
        self.gain = gain

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        rows, columns = block.shape
        q, r = torch.linalg.qr(torch.randn(max(rows, columns), min(rows, columns), dtype=torch.float64, generator=generator))
        q = q * r.diagonal().sign()
        return self.gain * (q if rows >= columns else q.T)
