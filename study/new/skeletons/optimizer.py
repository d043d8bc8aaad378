"""An optimizer of your own: one update of all members at once."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Optimizer, PerMember, per_member, require


class Skeleton(Optimizer):
    """v' = μ v + g, θ' = θ - η (g + μ v'): Nesterov's accelerated gradient.

    The contract (study/interfaces.py): gradients and weights are [M, P], one row per member, and
    rows never mix. State is passed and returned, never kept on self: every tensor has M as its
    first axis, so it is kept in checkpoints and follows its member into another group. Nothing is
    changed in place. An argument annotated PerMember may differ between points trained together
    and arrives as a tensor [M]; `per_member` makes it [M, 1].
    """

    def __init__(self, *, lr: PerMember, momentum: PerMember) -> None:
        self.lr, self.momentum = per_member(lr), per_member(momentum)
        require(bool((self.lr > 0).all()), "skeleton", "lr", "greater than 0", lr)
        below_1 = bool(((self.momentum >= 0) & (self.momentum < 1)).all())
        require(below_1, "skeleton", "momentum", "at least 0 and below 1", momentum)

    def init(self, params: Tensor) -> dict[str, Tensor]:
        return {"velocity": torch.zeros_like(params)}

    def __call__(
        self, grads: Tensor, params: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        velocity = self.momentum * state["velocity"] + grads
        return params - self.lr * (grads + self.momentum * velocity), {"velocity": velocity}
