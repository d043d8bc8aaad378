"""Sparse recurrent weights of a given spectral radius, as in echo state networks."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer, require


class Sparse(Initializer):
    """`links` incoming N(0, 1) weights per unit (at most all), scaled to spectral radius `radius`.

    The "smart tanh" of Sutskever, Martens, Dahl & Hinton (2013) has 15 links and radius .95.
    """

    def __init__(self, *, links: int, radius: float) -> None:
        require(links > 0, "sparse", "links", "at least 1", links)
        require(radius > 0, "sparse", "radius", "greater than 0", radius)
        self.links, self.radius = links, radius

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        rows, columns = block.shape
        require(
            rows == columns,
            "sparse",
            "its block",
            "square, as those of recurrent weights",
            tuple(block.shape),
        )
        weights = torch.randn(rows, columns, dtype=torch.float64, generator=generator)
        order = torch.rand(rows, columns, dtype=torch.float64, generator=generator).argsort(1)
        weights = weights * torch.zeros(rows, columns, dtype=torch.float64).scatter(
            1, order[:, : self.links], 1.0
        )
        radius = torch.linalg.eigvals(weights).abs().max()
        # Without a cycle among the links the block is nilpotent: no factor can scale its radius.
        require(
            bool(radius > 1e-6),
            "sparse",
            "links",
            f"enough for a cycle among {rows} units",
            self.links,
        )
        return weights * (self.radius / radius)
