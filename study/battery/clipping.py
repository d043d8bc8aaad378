"""What every clip rule must hold."""

from __future__ import annotations

import torch
from torch import Tensor

from study.battery.shared import COMPANY, SLICES, some_rows
from study.interfaces import ClipRule


def check_clip(rule_of: object) -> None:
    """`rule_of(M)` builds the rule for M members.

    Members do not mix; shapes stay; finite stays finite; a zero gradient stays zero.
    """
    three, two = rule_of(3), rule_of(2)  # type: ignore[operator]
    params = some_rows(3, seed=1)

    def clipped(rule: ClipRule, members: slice) -> list[Tensor]:
        state, out = rule.init(params[members], SLICES), []
        for update in range(4):
            grads, state = rule(some_rows(3, seed=10 + update)[members], params[members], state)
            out.append(grads)
        return out

    for whole, part in zip(clipped(three, slice(0, 3)), clipped(two, slice(0, 2)), strict=True):
        assert whole.shape == (3, 96)
        assert whole.isfinite().all()
        assert torch.equal(whole[:2], part), (
            f"{type(three).__name__}: a member's gradient depends on its company; {COMPANY}"
        )
    zero = torch.zeros(3, 96)
    kept, _ = three(zero, params, three.init(params, SLICES))
    assert torch.equal(kept, zero), f"{type(three).__name__}: a zero gradient must stay zero"
