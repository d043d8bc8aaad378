"""Clipping tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from study.interfaces import ClipRule, PerMember, per_member, require
from study.numerics.norms import clip_to_norm, norm


class LayerNorm(ClipRule):
    """Each tensor's gradient longer than threshold is shortened to it: directions inside a tensor
    stay, the whole gradient turns.
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
