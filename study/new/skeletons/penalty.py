"""A penalty of your own: a term that is added to the loss of updates."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Penalty, PerMember, UpdatePass, require


class Skeleton(Penalty):
    """Ω = strength · mean of ‖h_t‖² / H over examples and their steps, summed over layers.

    The contract (study/interfaces.py): one value per member, [M]; members never mix. Only the loss
    of updates has the term: stored losses and scores are the task's. A term of the states needs
    `reads_states`, and leaves out padding, which `valid` marks with 0. `detach` what the gradient
    should hold constant. An argument annotated PerMember may differ between points trained together
    and arrives as a tensor [M].
    """

    reads_states = True

    def __init__(self, *, strength: PerMember) -> None:
        self.strength = torch.as_tensor(strength)
        require(bool((self.strength >= 0).all()), "skeleton", "strength", "at least 0", strength)

    def __call__(self, update: UpdatePass) -> Tensor:
        steps = update.valid.sum((1, 2))  # [M]
        total = torch.zeros_like(steps)
        for layer in update.layers:
            h = layer.after[0]  # [M, T, B, H]
            squares = h.square().mean(-1)
            # `where`, since values at padding may be anything
            total = total + torch.where(update.valid > 0, squares, 0.0).sum((1, 2)) / steps
        return self.strength * total
