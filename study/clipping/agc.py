"""Adaptive gradient clipping (Brock, De, Smith & Simonyan 2021, arXiv:2102.06171)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from study.interfaces import ClipRule, PerMember, per_member, require
from study.numerics.norms import clip_to_norm, norm


class AGC(ClipRule):
    """Limits ‖g_i‖ of each unit to ratio · max(‖w_i‖, floor).

    A unit is a row of a matrix (one unit of a gate), or a whole vector. The paper leaves out the
    last linear layer, as `readout: false` does. The gradient of a bias that is 0 may be as long as
    ratio · floor.
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
            g, w = (flat[:, where].unflatten(1, (units, -1)) for flat in (grads, params))
            limit = self.ratio * norm(w).maximum(self.floor)
            clipped[:, where] = clip_to_norm(g, norm(g), limit).flatten(1)
        return clipped, state
