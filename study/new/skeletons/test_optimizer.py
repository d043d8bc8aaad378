"""The rules that every optimizer keeps, and torch's own updates."""

from __future__ import annotations

import torch
from skeleton import Skeleton

from study.battery.optimizers import check_optimizer


def test_it_keeps_the_rules_of_optimizers():
    check_optimizer(lambda members: Skeleton(lr=torch.full((members,), 0.05), momentum=0.9))


def test_its_updates_are_those_of_torch():
    weights = torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theirs = weights.clone().requires_grad_()
    reference = torch.optim.SGD([theirs], lr=0.05, momentum=0.9, nesterov=True)
    optimizer, ours = Skeleton(lr=0.05, momentum=0.9), weights[None]
    state = optimizer.init(ours)
    for _ in range(5):
        theirs.grad = theirs.detach() ** 3
        ours, state = optimizer(ours**3, ours, state)
        reference.step()
    torch.testing.assert_close(ours[0], theirs.detach())
