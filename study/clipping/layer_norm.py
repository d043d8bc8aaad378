"""Clipping by the norm of each tensor's gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from study.interfaces import ClipRule, PerMember, per_member, require
from study.numerics.norms import clip_to_norm, norm


class LayerNorm(ClipRule):
    """Scales each tensor's gradient down to norm `threshold`.

    Directions within a tensor are kept, that of the whole gradient is not.
    """

    def __init__(self, *, threshold: PerMember) -> None:
        require(
            bool((per_member(threshold) > 0).all()),
            "layer_norm",
            "threshold",
            "greater than 0",
            threshold,
        )
        self.threshold = per_member(threshold)

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        return slices

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        clipped = grads.clone()
        for where, _ in state.values():
            part = grads[:, where]
            clipped[:, where] = clip_to_norm(part, norm(part), self.threshold.double())
        return clipped, state
