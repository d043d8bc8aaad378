"""Exponential decay, as torch.optim.lr_scheduler.ExponentialLR."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import PerMember, Schedule, require


class Exponential(Schedule):
    """factor(u) = end^(u / updates) at update u, from 0: torch's gamma is end^(1 / updates)."""

    def __init__(self, *, end: PerMember) -> None:
        self.end = torch.as_tensor(end, dtype=torch.float64).reshape(-1)
        fits = bool(((self.end > 0) & (self.end <= 1)).all())
        require(fits, "exponential", "end", "greater than 0 and at most 1", end)

    def __call__(self, update: int, updates: int, state: None) -> Tensor:
        return self.end ** (update / updates)
