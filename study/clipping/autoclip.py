"""AutoClip (Seetharaman, Wichern, Pardo & Le Roux 2020): clips to a percentile of past norms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from study.interfaces import ClipRule, PerMember, per_member, require
from study.numerics.norms import clip_to_norm, norm


class AutoClip(ClipRule):
    """threshold_t = percentile of ‖g_1‖ … ‖g_t‖, interpolated linearly like numpy.percentile.

    Norms that are not finite are left out. Costs one sort of the history per update.
    """

    def __init__(self, *, percentile: PerMember) -> None:
        p = per_member(percentile)
        require(
            bool(((p > 0) & (p <= 100)).all()),
            "autoclip",
            "percentile",
            "above 0 and at most 100",
            percentile,
        )
        self.share = p.double() / 100

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        return params.new_zeros((len(params), 0), dtype=torch.float64)

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        length = norm(grads)
        history = torch.cat([state, torch.where(length.isfinite(), length, torch.inf)], dim=1)
        ordered = history.sort(dim=1).values  # norms that were not finite come last
        last = (ordered.isfinite().sum(1, keepdim=True) - 1).clamp(min=0)
        position = self.share * last
        below = position.floor().long()
        low, high = ordered.gather(1, below), ordered.gather(1, torch.minimum(below + 1, last))
        threshold = low + (position - below) * (high - low)
        return clip_to_norm(grads, length, threshold), history
