"""Clipping by the norm of all gradients together (Pascanu 2013)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from study.interfaces import ClipRule, PerMember, per_member, require
from study.numerics.norms import known_true

EPS = 1e-6  # as in torch.nn.utils.clip_grad_norm_
RESCALE = 2.0**-64  # brings gradients whose squares overflow fp32 back into its range


class Norm(ClipRule):
    """g · threshold/(‖g‖ + eps) where that is shorter; the direction is kept.

    If ‖g‖ of finite gradients overflows, they are clipped like others; torch would set them to 0.
    """

    def __init__(self, *, threshold: PerMember) -> None:
        require(
            bool((per_member(threshold) > 0).all()),
            "norm",
            "threshold",
            "greater than 0",
            threshold,
        )
        self.threshold = per_member(threshold)

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        length = _norm(grads)
        if known_true(~length.isinf().any()):
            coefficient = self.threshold / (length + EPS)
            return torch.where(coefficient < 1, grads * coefficient, grads), state
        scale = torch.where(length.isinf(), RESCALE, 1.0)  # 1 changes no bit
        scaled = grads * scale
        coefficient = self.threshold / (_norm(scaled) + EPS)
        return torch.where((coefficient < 1) | (scale < 1), scaled * coefficient, grads), state


def _norm(grads: Tensor) -> Tensor:
    return torch.linalg.vector_norm(grads, dim=1, keepdim=True)
