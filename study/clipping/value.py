"""Clipping of each gradient value."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from study.interfaces import ClipRule, PerMember, per_member, require


class Value(ClipRule):
    """Clamps each gradient value to ±threshold, which changes the direction."""

    def __init__(self, *, threshold: PerMember) -> None:
        require(
            bool((per_member(threshold) > 0).all()),
            "value",
            "threshold",
            "greater than 0",
            threshold,
        )
        self.threshold = per_member(threshold)

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        return torch.clamp(grads, -self.threshold, self.threshold), state
