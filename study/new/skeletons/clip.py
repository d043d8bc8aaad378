"""A clip rule of your own: what is done to a member's gradients before the update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from study.interfaces import ClipRule, PerMember, per_member, require
from study.numerics.norms import clip_to_norm, norm


class Skeleton(ClipRule):
    """‖g‖ ≤ k m_u, where m_u = β m_{u-1} + (1-β) ‖g_{u-1} after clipping‖: no gradient is much
    longer than those before it.

    The contract (study/interfaces.py): all gradients of a member are one row of [M, P], and rows
    never mix; a gradient left alone is returned bit for bit. What is remembered is passed and
    returned, tensors with M as first axis, numbers and texts, nothing on self: then it is kept in
    checkpoints. An argument annotated PerMember may differ between points trained together and
    arrives as a tensor [M].
    """

    def __init__(self, *, factor: PerMember, decay: float) -> None:
        require(
            bool((torch.as_tensor(factor) > 0).all()),
            "skeleton",
            "factor",
            "greater than 0",
            factor,
        )
        require(0 <= decay < 1, "skeleton", "decay", "at least 0 and below 1", decay)
        self.factor, self.decay = per_member(factor).double(), decay

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        return torch.full(
            (len(params), 1), torch.inf, dtype=torch.float64, device=params.device
        )  # ∞: there was no gradient yet

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        length = norm(grads)
        limit = self.factor * state
        kept = torch.minimum(length, limit)
        mean = torch.where(state.isinf(), kept, self.decay * state + (1 - self.decay) * kept)
        return clip_to_norm(grads, length, limit), torch.where(kept.isfinite(), mean, state)
