"""Weight decay: half the squared length of the weights."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from study.interfaces import Penalty, PerMember, UpdatePass, require


class WeightDecay(Penalty):
    """λ · ½‖W‖² over the recurrent tensors, or over all tensors, biases and readout included.

    Its gradient λW counts in the norm that clipping sees, as with `optimizer.weight_decay` it does
    not.
    """

    def __init__(self, *, strength: PerMember, weights: Literal["recurrent", "all"]) -> None:
        self.strength = torch.as_tensor(strength)
        require(
            bool((self.strength >= 0).all()), "weight_decay", "strength", "at least 0", strength
        )
        self.weights = weights

    def __call__(self, update: UpdatePass) -> Tensor:
        squares = [
            value.square().flatten(1).sum(1)
            for name, value in update.params.items()
            if self.weights == "all" or update.roles[name] == "recurrent"
        ]
        require(
            bool(squares),
            "weight_decay",
            "weights",
            "all for a cell without recurrent tensors",
            self.weights,
        )
        return self.strength * 0.5 * torch.stack(squares).sum(0)
