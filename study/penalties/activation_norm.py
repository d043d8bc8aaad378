"""The norm stabilizer (Krueger & Memisevic 2016, arXiv 1511.08400)."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import LayerPass, Penalty, PerMember, UpdatePass, require


class ActivationNorm(Penalty):
    """β · mean of (‖h_t‖ − ‖h_{t-1}‖)² over examples and steps t ≥ 2, summed over layers.

    The step from the zero state is left out, since it is large for every network.
    """

    reads_states = True

    def __init__(self, *, strength: PerMember) -> None:
        self.strength = torch.as_tensor(strength)
        require(
            bool((self.strength >= 0).all()), "activation_norm", "strength", "at least 0", strength
        )

    def __call__(self, update: UpdatePass) -> Tensor:
        return self.strength * torch.stack(
            [changes(layer, update.valid) for layer in update.layers]
        ).sum(0)


def changes(layer: LayerPass, valid: Tensor) -> Tensor:
    """The mean [M] of one layer."""
    lengths = norm(layer.after[0])
    change = (lengths[:, 1:] - lengths[:, :-1]).square()
    counts = valid[:, 1:]
    # `where`, since values at padding may be anything
    total = torch.where(counts > 0, change, 0.0).sum((1, 2))
    return total / counts.sum((1, 2)).clamp(min=1)


def norm(h: Tensor) -> Tensor:
    """‖h‖ over the last axis, with gradient 0 at 0."""
    square = h.square().sum(-1)
    return torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0)
