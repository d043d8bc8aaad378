"""What every optimizer must hold."""

from __future__ import annotations

import torch
from torch import Tensor

from study.battery.shared import COMPANY, some_rows
from study.interfaces import Optimizer


def check_optimizer(optimizer_of: object) -> None:
    """`optimizer_of(M)` builds it for M members.

    Members do not mix; nothing is changed in place; a quadratic goes down.
    """
    three, two = optimizer_of(3), optimizer_of(2)  # type: ignore[operator]

    def path(optimizer: Optimizer, members: slice) -> Tensor:
        params = some_rows(3, seed=1)[members]
        state = optimizer.init(params)
        for _ in range(20):
            before, grads = params.clone(), params.clone()
            after, state = optimizer(grads, params, state)
            assert torch.equal(params, before), (
                f"{type(optimizer).__name__}: changed its parameters in place"
            )
            params = after
        return params

    whole, part = path(three, slice(0, 3)), path(two, slice(0, 2))
    assert torch.equal(whole[:2], part), (
        f"{type(three).__name__}: a member's path depends on its company; {COMPANY}"
    )
    assert (whole.norm(dim=1) < some_rows(3, seed=1).norm(dim=1)).all(), (
        f"{type(three).__name__}: 20 updates on a quadratic did not go down"
    )
