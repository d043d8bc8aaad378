"""Stochastic gradient descent with momentum (Polyak 1964), as torch.optim.SGD."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Optimizer, PerMember, per_member, require


class SGD(Optimizer):
    """v ← momentum·v + g, θ ← θ - lr·v, where g includes weight_decay·θ."""

    later = {"decay_biases": True}

    def __init__(
        self, *, lr: PerMember, momentum: PerMember, weight_decay: PerMember, decay_biases: bool
    ) -> None:
        require(bool((per_member(lr) > 0).all()), "sgd", "lr", "greater than 0", lr)
        require(
            bool(((per_member(momentum) >= 0) & (per_member(momentum) < 1)).all()),
            "sgd",
            "momentum",
            "at least 0 and below 1",
            momentum,
        )
        require(
            bool((per_member(weight_decay) >= 0).all()),
            "sgd",
            "weight_decay",
            "at least 0",
            weight_decay,
        )
        self.decay_biases = decay_biases
        self.lr, self.momentum, self.weight_decay = (
            per_member(lr),
            per_member(momentum),
            per_member(weight_decay),
        )

    def init(self, params: Tensor) -> dict[str, Tensor]:
        return {"velocity": torch.zeros_like(params)}

    def __call__(
        self, grads: Tensor, params: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        velocity = self.momentum * state["velocity"] + (grads + self.weight_decay * params)
        return params - self.lr * velocity, {"velocity": velocity}

    def native(
        self, grads: Tensor, params: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.lr.dtype != params.dtype:
            return self(grads, params, state)
        # imported here, since importing the compiler is slow
        from study.kernels.native.updates import sgd

        new, velocity, before = (
            torch.empty_like(params),
            torch.empty_like(params),
            state["velocity"],
        )
        settings = self.lr, self.momentum, self.weight_decay
        sgd(*(each.numpy() for each in (grads, params, before, *settings, new, velocity)))
        return new, {"velocity": velocity}
