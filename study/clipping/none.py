"""No clipping."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from study.interfaces import ClipRule


class NoClip(ClipRule):
    """Returns every gradient unchanged."""

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        return grads, state
