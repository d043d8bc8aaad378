"""Checks of clip rules."""

from __future__ import annotations

import torch
from torch import Tensor

from study.battery.shared import COMPANY, SLICES, some_rows
from study.interfaces import ClipRule


def check_clip(make_rule: object) -> None:
    """Check that members do not mix, shapes stay, and finite and zero gradients stay so.

    `make_rule(M)` builds the rule for M members.
    """
    three, two = make_rule(3), make_rule(2)  # type: ignore[operator]
    params = some_rows(3, seed=1)

    def clipped(rule: ClipRule, members: slice) -> list[Tensor]:
        state, out = rule.init(params[members], SLICES), []
        for update in range(4):
            grads, state = rule(some_rows(3, seed=10 + update)[members], params[members], state)
            out.append(grads)
        return out

    for of_three, of_two in zip(
        clipped(three, slice(0, 3)), clipped(two, slice(0, 2)), strict=True
    ):
        assert of_three.shape == (3, 96)
        assert of_three.isfinite().all()
        assert torch.equal(of_three[:2], of_two), (
            f"{type(three).__name__}: a member's gradient depends on its company; {COMPANY}"
        )
    zero = torch.zeros(3, 96)
    kept, _ = three(zero, params, three.init(params, SLICES))
    assert torch.equal(kept, zero), f"{type(three).__name__}: a zero gradient must stay zero"
