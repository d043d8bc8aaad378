"""Adam (Kingma & Ba 2015), as torch.optim.Adam."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from study.interfaces import Optimizer, PerMember, per_member, require


class Adam(Optimizer):
    """θ ← θ - lr·m̂/(√v̂ + eps), where g includes weight_decay·θ."""

    later = {"decay_biases": True}

    def __init__(
        self,
        *,
        lr: PerMember,
        beta1: PerMember,
        beta2: PerMember,
        eps: PerMember,
        weight_decay: PerMember,
        decay_biases: bool,
    ) -> None:
        self.decay_biases = decay_biases
        require(bool((per_member(lr) > 0).all()), "adam", "lr", "greater than 0", lr)
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            require(
                bool(((per_member(beta) >= 0) & (per_member(beta) < 1)).all()),
                "adam",
                name,
                "at least 0 and below 1",
                beta,
            )
        require(bool((per_member(eps) > 0).all()), "adam", "eps", "greater than 0", eps)
        require(
            bool((per_member(weight_decay) >= 0).all()),
            "adam",
            "weight_decay",
            "at least 0",
            weight_decay,
        )
        self.lr, self.beta1, self.beta2, self.eps, self.weight_decay = (
            per_member(value) for value in (lr, beta1, beta2, eps, weight_decay)
        )
        self.decays = bool((self.weight_decay > 0).any())

    def init(self, params: Tensor) -> dict[str, Tensor]:
        return {
            "m": torch.zeros_like(params),
            "v": torch.zeros_like(params),
            "t": params.new_zeros(len(params), 1),
        }

    def __call__(
        self, grads: Tensor, params: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.decays:
            grads = grads + self.weight_decay * params
        t = state["t"] + 1
        # In place on temporaries: newly allocated memory is not cached and takes four times as long
        # to write.
        m = self.beta1 * state["m"]
        part = (1 - self.beta1) * grads
        m += part
        v = self.beta2 * state["v"]
        v += torch.mul(1 - self.beta2, grads, out=part).mul_(grads)
        # In fp64, since in fp32 the bias correction of the first updates would lose digits.
        correct1, correct2 = (
            (1 - beta.double() ** t.double()).to(params.dtype) for beta in (self.beta1, self.beta2)
        )
        below = torch.div(v, correct2, out=part).sqrt_().add_(self.eps)
        move = (m / correct1).mul_(self.lr).div_(below)
        return torch.sub(params, move, out=move), {"m": m, "v": v, "t": t}

    def native(
        self, grads: Tensor, params: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.lr.dtype != params.dtype:
            return self(grads, params, state)
        # imported here, since importing the compiler is slow
        from study.kernels.native.updates import adam_moments, adam_move

        t, m = torch.empty_like(state["t"]), torch.empty_like(params)
        v, root = torch.empty_like(params), torch.empty_like(params)
        before = _arrays(state["t"], state["m"], state["v"])
        betas, new = _arrays(self.beta1, self.beta2), _arrays(t, m, v, root)
        now, later, decay = *_arrays(grads, params), self.weight_decay.numpy()
        adam_moments(now, later, *before, *betas, decay, self.decays, *new)
        root.sqrt_()
        adam_move(later, new[1], new[3], *_arrays(self.lr, self.eps), betas[0], new[0], new[3])
        return root, {"m": m, "v": v, "t": t}


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.numpy() for tensor in tensors]
