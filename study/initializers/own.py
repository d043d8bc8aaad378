"""Leave a model's weights as it draws them."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer


class Own(Initializer):
    """Fills nothing: a model of one's own keeps the values that its constructor draws."""

    roles = ()

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        raise ValueError("own: fills no block")
