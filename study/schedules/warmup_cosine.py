"""Linear warmup, then half a cosine (Loshchilov & Hutter 2017, without restarts).

As torch.optim.lr_scheduler.SequentialLR of LinearLR and CosineAnnealingLR.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from study.interfaces import PerMember, Schedule, in_updates, require, require_length


class WarmupCosine(Schedule):
    """With W = warmup in updates and N updates: factor(u) = start + (1 - start)·u/W for u < W.

    From there on, factor(u) = end + (1 - end)·(1 + cos(π (u - W)/(N - W)))/2.
    """

    def __init__(self, *, warmup: PerMember, start: PerMember, end: PerMember) -> None:
        require_length(warmup, "warmup_cosine", "warmup")
        self.warmup, self.start, self.end = (
            torch.as_tensor(value, dtype=torch.float64).reshape(-1)
            for value in (warmup, start, end)
        )
        for key, value in (("start", self.start), ("end", self.end)):
            fits = bool(((value >= 0) & (value <= 1)).all())
            require(fits, "warmup_cosine", key, "from 0 to 1", value)

    def check(self, updates: int) -> None:
        fits = bool((in_updates(self.warmup, updates) < updates).all())
        allowed = f"shorter than the run of {updates} updates"
        require(fits, "warmup_cosine", "warmup", allowed, self.warmup)

    def __call__(self, update: int, updates: int, state: None) -> Tensor:
        warmup = in_updates(self.warmup, updates)
        rising = self.start + (1 - self.start) * update / warmup.clamp(min=1)
        turn = (math.pi * (update - warmup) / (updates - warmup).clamp(min=1)).cos()
        falling = self.end + (1 - self.end) * (1 + turn) / 2
        return torch.where(update < warmup, rising, falling)
