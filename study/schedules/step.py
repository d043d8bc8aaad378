"""Steps down at equal intervals, as torch.optim.lr_scheduler.StepLR."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import PerMember, Schedule, in_updates, require, require_length


class Step(Schedule):
    """factor(u) = gamma^⌊u / every⌋ at update u, from 0."""

    def __init__(self, *, every: PerMember, gamma: PerMember) -> None:
        require_length(every, "step", "every")
        self.every, self.gamma = (
            torch.as_tensor(value, dtype=torch.float64).reshape(-1) for value in (every, gamma)
        )
        require(bool((self.every > 0).all()), "step", "every", "greater than 0", every)
        fits = bool(((self.gamma > 0) & (self.gamma <= 1)).all())
        require(fits, "step", "gamma", "greater than 0 and at most 1", gamma)

    def __call__(self, update: int, updates: int, state: None) -> Tensor:
        return self.gamma ** (update // in_updates(self.every, updates).clamp(min=1))
