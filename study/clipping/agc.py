"""Adaptive gradient clipping (Brock, De, Smith & Simonyan 2021, "High-performance large-scale image
recognition without normalization").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from study.interfaces import ClipRule, PerMember, per_member, require
from study.numerics.norms import clip_to_norm, norm


class AGC(ClipRule):
    """Unit by unit: ‖g_i‖ is at most ratio · max(‖w_i‖, floor), for every row of a matrix (a gate's
    unit), for a vector as a whole.

    The paper leaves the last linear layer out, and so does `readout: false`. A bias that starts at
    0 may move by ratio · floor.
    """

    def __init__(self, *, ratio: PerMember, floor: PerMember, readout: bool) -> None:
        require(bool((per_member(ratio) > 0).all()), "agc", "ratio", "greater than 0", ratio)
        require(bool((per_member(floor) > 0).all()), "agc", "floor", "greater than 0", floor)
        self.ratio, self.floor, self.readout = (
            per_member(ratio).double()[..., None],
            per_member(floor).double()[..., None],
            readout,
        )

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        return {
            name: place
            for name, place in slices.items()
            if self.readout or not name.startswith("readout.")
        }

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        clipped = grads.clone()
        for where, shape in state.values():
            units = shape[0] if len(shape) > 1 else 1
            g, w = (of[:, where].unflatten(1, (units, -1)) for of in (grads, params))
            limit = self.ratio * norm(w).maximum(self.floor)
            clipped[:, where] = clip_to_norm(g, norm(g), limit).flatten(1)
        return clipped, state
