"""An initializer of your own: first values of the weights it speaks for."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer, require


class Skeleton(Initializer):
    """W = α I + N(0, (1-α²)/H), block by block: between the identity (α = 1), which keeps, and
    noise of gain 1 (α = 0).

    The contract (study/interfaces.py): one call fills one gate's block of one tensor; values are
    float64 of shape `block.shape`, drawn from `generator` only. `roles` says which weights the rule
    speaks for; recurrent must be among them, and the study's standing rules fill the others, so
    that a comparison of recurrent weights is not confounded.
    """

    roles = ("recurrent",)

    def __init__(self, *, alpha: float) -> None:
        require(0 <= alpha <= 1, "skeleton", "alpha", "between 0 and 1", alpha)
        self.alpha = alpha

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        rows, columns = block.shape
        noise = torch.randn(rows, columns, dtype=torch.float64, generator=generator)
        return (
            self.alpha * torch.eye(rows, columns, dtype=torch.float64)
            + ((1 - self.alpha**2) / columns) ** 0.5 * noise
        )
