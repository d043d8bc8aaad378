"""RMSprop (Tieleman & Hinton 2012), as torch.optim.RMSprop."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Optimizer, PerMember, per_member, require


class RMSprop(Optimizer):
    """v ← alpha·v + (1-alpha)·g², b ← momentum·b + g/(√v + eps), θ ← θ - lr·b.

    g includes weight_decay·θ.
    """

    later = {"decay_biases": True}

    def __init__(
        self,
        *,
        lr: PerMember,
        alpha: PerMember,
        eps: PerMember,
        momentum: PerMember,
        weight_decay: PerMember,
        decay_biases: bool,
    ) -> None:
        self.decay_biases = decay_biases
        require(bool((per_member(lr) > 0).all()), "rmsprop", "lr", "greater than 0", lr)
        for name, value in (("alpha", alpha), ("momentum", momentum)):
            require(
                bool(((per_member(value) >= 0) & (per_member(value) < 1)).all()),
                "rmsprop",
                name,
                "at least 0 and below 1",
                value,
            )
        require(bool((per_member(eps) > 0).all()), "rmsprop", "eps", "greater than 0", eps)
        require(
            bool((per_member(weight_decay) >= 0).all()),
            "rmsprop",
            "weight_decay",
            "at least 0",
            weight_decay,
        )
        self.lr, self.alpha, self.eps, self.momentum, self.weight_decay = (
            per_member(value) for value in (lr, alpha, eps, momentum, weight_decay)
        )

    def init(self, params: Tensor) -> dict[str, Tensor]:
        return {"v": torch.zeros_like(params), "b": torch.zeros_like(params)}

    def __call__(
        self, grads: Tensor, params: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        grads = grads + self.weight_decay * params
        v = self.alpha * state["v"] + (1 - self.alpha) * grads * grads
        b = self.momentum * state["b"] + grads / (v.sqrt() + self.eps)
        return params - self.lr * b, {"v": v, "b": b}

    def native(
        self, grads: Tensor, params: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.lr.dtype != params.dtype:
            return self(grads, params, state)
        # imported here, since importing the compiler is slow
        from study.kernels.native.updates import rmsprop_move, rmsprop_square

        v, b, root = (torch.empty_like(params) for _ in range(3))
        now, later, v_, b_, root_ = (each.numpy() for each in (grads, params, v, b, root))
        decay = self.weight_decay.numpy()
        rmsprop_square(now, later, state["v"].numpy(), self.alpha.numpy(), decay, v_, root_)
        root.sqrt_()
        settings = (each.numpy() for each in (self.lr, self.eps, self.momentum))
        rmsprop_move(now, later, state["b"].numpy(), root_, *settings, decay, b_, root_)
        return root, {"v": v, "b": b}
