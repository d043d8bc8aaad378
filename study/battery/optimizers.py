"""Checks of optimizers."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from study.battery.shared import COMPANY, check_unchanged, some_rows
from study.interfaces import Optimizer


def check_optimizer(make_optimizer: object) -> None:
    """Check that members do not mix, nothing changes in place, and a quadratic decreases.

    `make_optimizer(M)` builds the optimizer for M members.
    """
    three, two = make_optimizer(3), make_optimizer(2)  # type: ignore[operator]

    def path(optimizer: Optimizer, members: slice) -> Tensor:
        params = some_rows(3, seed=1)[members]
        state = optimizer.init(params)
        for _ in range(20):
            grads = params.clone()
            given = {"parameters": params, "gradients": grads, "state": state}
            before = copy.deepcopy(given)
            params, state = optimizer(grads, params, state)
            check_unchanged(type(optimizer).__name__, given, before)
        return params

    of_three, of_two = path(three, slice(0, 3)), path(two, slice(0, 2))
    assert torch.equal(of_three[:2], of_two), (
        f"{type(three).__name__}: a member's path depends on its company; {COMPANY}"
    )
    assert (of_three.norm(dim=1) < some_rows(3, seed=1).norm(dim=1)).all(), (
        f"{type(three).__name__}: 20 updates did not decrease a quadratic"
    )
