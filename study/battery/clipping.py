"""Checks of clip rules."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from study.battery.shared import SLICES, check_company, check_unchanged, some_rows
from study.interfaces import ClipRule


def check_clip(make_rule: object) -> None:
    """Check that members do not mix, nothing changes in place, and zero gradients stay zero.

    `make_rule(M)` builds the rule for M members.
    """
    three, two = make_rule(3), make_rule(2)  # type: ignore[operator]
    params = some_rows(3, seed=1)

    def clipped(rule: ClipRule, members: slice) -> list[Tensor]:
        state, out = rule.init(params[members], SLICES), []
        for update in range(4):
            grads = some_rows(3, seed=10 + update)[members]
            given = {"gradients": grads, "parameters": params[members], "state": state}
            before = copy.deepcopy(given)
            grads, state = rule(grads, params[members], state)
            check_unchanged(type(rule).__name__, given, before)
            out.append(grads)
        return out

    for of_three, of_two in zip(
        clipped(three, slice(0, 3)), clipped(two, slice(0, 2)), strict=True
    ):
        assert of_three.shape == (3, 96)
        assert of_three.isfinite().all()
        what = f"{type(three).__name__}: a member's gradient depends"
        check_company(of_three[:2], of_two, what)
    zero = torch.zeros(3, 96)
    kept, _ = three(zero, params, three.init(params, SLICES))
    assert torch.equal(kept, zero), f"{type(three).__name__}: a zero gradient must stay zero"
