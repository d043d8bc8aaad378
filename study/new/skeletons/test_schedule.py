"""The rules that every schedule keeps, and torch's own factors."""

from __future__ import annotations

import pytest
import torch
from skeleton import Skeleton

from study.battery import check_schedule


def test_it_keeps_the_rules_of_schedules():
    check_schedule(lambda members: Skeleton(end=torch.full((members,), 0.1)))


def test_its_factors_are_those_of_torch():
    theirs = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    reference = torch.optim.lr_scheduler.LinearLR(theirs, 1.0, 0.1, total_iters=20)
    for update in range(20):
        factor = Skeleton(end=0.1)(update, 20, None)
        assert float(factor) == pytest.approx(reference.get_last_lr()[0])
        theirs.step()
        reference.step()
