"""A schedule of your own: the share of the learning rate that each update uses."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import PerMember, Schedule, require


class Skeleton(Schedule):
    """factor(u) = 1 - (1 - end)·u / updates: a straight line.

    The contract (study/interfaces.py): one factor per member, [M], in fp64; members never mix. It
    is a function of the update, counted from 0, the updates of the run and the state, which only
    schedules that follow validations need (study/schedules/plateau.py). An argument annotated
    PerMember may differ between points trained together and arrives as a tensor [M] in fp64.
    """

    def __init__(self, *, end: PerMember) -> None:
        self.end = torch.as_tensor(end, dtype=torch.float64).reshape(-1)
        fits = bool(((self.end >= 0) & (self.end <= 1)).all())
        require(fits, "skeleton", "end", "from 0 to 1", end)

    def __call__(self, update: int, updates: int, state: None) -> Tensor:
        return 1 - (1 - self.end) * update / updates
