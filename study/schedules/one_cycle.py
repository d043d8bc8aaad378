"""One cycle (Smith & Topin 2019), as torch.optim.lr_scheduler.OneCycleLR with two cosines."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from study.interfaces import PerMember, Schedule, in_updates, require, require_length


class OneCycle(Schedule):
    """From start up to 1 at update W - 1, then down to end at the last one; W = warmup in updates.

    Each way is half a cosine: factor = to + (from - to)·(1 + cos(π·share of the way))/2. torch's
    max_lr is the optimizer's lr, its div_factor 1/start, its final_div_factor start/end. Momentum
    stays as it is, as with torch's cycle_momentum=False.
    """

    def __init__(self, *, warmup: PerMember, start: PerMember, end: PerMember) -> None:
        require_length(warmup, "one_cycle", "warmup")
        self.warmup, self.start, self.end = (
            torch.as_tensor(value, dtype=torch.float64).reshape(-1)
            for value in (warmup, start, end)
        )
        for key, value in (("start", self.start), ("end", self.end)):
            fits = bool(((value >= 0) & (value <= 1)).all())
            require(fits, "one_cycle", key, "from 0 to 1", value)

    def check(self, updates: int) -> None:
        fits = bool((in_updates(self.warmup, updates) < updates).all())
        allowed = f"shorter than the run of {updates} updates"
        require(fits, "one_cycle", "warmup", allowed, self.warmup)

    def __call__(self, update: int, updates: int, state: None) -> Tensor:
        top, last = (in_updates(self.warmup, updates) - 1).clamp(min=0), updates - 1
        up = self.between(self.start, torch.ones_like(self.start), update / top.clamp(min=1))
        down = self.between(
            torch.ones_like(self.end), self.end, (update - top) / (last - top).clamp(min=1)
        )
        return torch.where(update < top, up, down)

    def between(self, first: Tensor, second: Tensor, share: Tensor) -> Tensor:
        """Half a cosine from the first to the second value."""
        return second + (first - second) * (1 + (math.pi * share).cos()) / 2
