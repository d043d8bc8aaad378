"""Clipping by the norm of all gradients together (Pascanu 2013)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from study.interfaces import ClipRule, PerMember, per_member, require
from study.lengths import norm, shortened

EPS = 1e-6  # as torch.nn.utils.clip_grad_norm_ has it


class Norm(ClipRule):
    """g · threshold/(‖g‖ + eps) where that shrinks it: the direction stays.

    Where ‖g‖ of finite gradients overflows, torch would set them to 0; here they are shortened like others.
    """

    def __init__(self, *, threshold: PerMember) -> None:
        require(bool((per_member(threshold) > 0).all()), "norm", "threshold", "greater than 0", threshold)
        self.threshold = per_member(threshold)

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        length = torch.linalg.vector_norm(grads, dim=1, keepdim=True)
        coefficient = self.threshold / (length + EPS)
        clipped = torch.where(coefficient < 1, grads * coefficient, grads)
        return torch.where(length.isinf(), shortened(grads, norm(grads), self.threshold.double()), clipped), state
