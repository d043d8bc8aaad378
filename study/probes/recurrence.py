"""Recurrence: spectral radius of the recurrent weights and saturation of the states, by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.interfaces import Probe, Trace


class Recurrence(Probe):
    """`spectral_radius` [M, layers]: largest |eigenvalue| over the gate blocks of W_h.

    `saturation` [M, layers]: share of |h| > level over valid steps. Silent divergence is detected
    from both. Costs the eigenvalues of one H×H matrix per gate and layer.
    """

    reads = "states"

    def __init__(self, *, stages: Sequence[float], level: float) -> None:
        if not 0 < level < 1:
            raise ValueError(f"recurrence: level must lie between 0 and 1, got {level}")
        self.stages, self.level = stages, level

    def __call__(self, trace: Trace) -> Mapping[str, Tensor]:
        layers = trace.network().layers
        saturation = [self._saturation(trace, layer["h"].detach()) for layer in layers]
        radius = [self._radius(trace, number) for number in range(1, len(layers) + 1)]
        return {
            "saturation": torch.stack(saturation, dim=1),
            "spectral_radius": torch.stack(radius, dim=1),
        }

    def _saturation(self, trace: Trace, h: Tensor) -> Tensor:
        shares = (h.abs() > self.level).sum(3).double() / h.shape[3]  # [M, T, B]
        valid = (torch.arange(shares.shape[1])[:, None] <= trace.last_step).to(shares)
        return (shares * valid).sum((1, 2)) / valid.sum()

    def _radius(self, trace: Trace, layer: int) -> Tensor:
        blocks = trace.recurrent_blocks(layer)
        if not blocks:
            h = trace.network().layers[layer - 1]["h"]
            return h.new_full((len(h),), torch.nan)
        every = torch.stack(list(blocks), dim=1)
        finite = every.isfinite().all(-1).all(-1)
        radius = torch.linalg.eigvals(torch.where(finite[..., None, None], every, 0)).abs().amax(-1)
        return torch.where(finite, radius, torch.nan).amax(1)
