"""ZClip (Kumar, Owen, Chowdhury & Güra 2025): clips only norms that stand out from recent ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from study.interfaces import ClipRule, PerMember, per_member, require
from study.numerics.norms import clip_to_norm, norm

EPS = 1e-6  # added to the standard deviation, as in the authors' code


class ZClip(ClipRule):
    """Where z = (‖g‖ - μ)/σ > threshold, scales g to norm μ + threshold²·σ/z.

    The larger the spike, the closer the result is to μ ("reciprocal" clipping in the paper,
    "adaptive scaling" in its code). μ and σ² are exponential averages, with weight `decay`, of the
    norms after clipping; they start as mean and variance of the first `warmup` norms, which are not
    clipped. Norms that are not finite are left out.
    """

    def __init__(self, *, threshold: PerMember, decay: PerMember, warmup: int) -> None:
        d = per_member(decay)
        require(
            bool((per_member(threshold) > 0).all()),
            "zclip",
            "threshold",
            "greater than 0",
            threshold,
        )
        require(bool(((d > 0) & (d < 1)).all()), "zclip", "decay", "between 0 and 1", decay)
        require(warmup >= 2, "zclip", "warmup", "at least 2 updates", warmup)
        self.threshold, self.decay, self.warmup = per_member(threshold).double(), d.double(), warmup

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        """(number of norms seen, μ, σ²), each [M, 1]."""
        return tuple(params.new_zeros((len(params), 1), dtype=torch.float64) for _ in range(3))

    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        seen, mean, variance = state
        length = norm(grads)
        finite = length.isfinite()
        z = (length - mean) / (variance.sqrt() + EPS)
        spike = (seen >= self.warmup) & (z > self.threshold) & finite
        limit = torch.where(spike, mean + self.threshold**2 * variance.sqrt() / z, torch.inf)
        after = torch.minimum(length, limit)
        # During warm-up: mean and variance of all norms so far (Welford); then exponential averages
        warming = seen < self.warmup
        count = seen + 1
        new_mean = torch.where(
            warming, mean + (after - mean) / count, self.decay * mean + (1 - self.decay) * after
        )
        welford = variance + ((after - mean) * (after - new_mean) - variance) / count
        new_variance = torch.where(
            warming, welford, self.decay * variance + (1 - self.decay) * (after - new_mean) ** 2
        )
        kept = tuple(
            torch.where(finite, new, old)
            for new, old in ((count, seen), (new_mean, mean), (new_variance, variance))
        )
        return clip_to_norm(grads, length, limit), kept
