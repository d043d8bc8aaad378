"""Checks of schedules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from study.battery.shared import COMPANY, check_unchanged
from study.interfaces import Schedule
from study.training.serialize import stack_members, take_member

RUNS = (1, 2, 7, 400)  # updates
VALIDATIONS = 30


def check_schedule(make_schedule: Callable[[int], Schedule]) -> None:
    """Check that factors are finite and at least 0, and that members do not mix.

    Also that nothing changes in place, and that an update's factor depends on nothing but the
    update and the state. `make_schedule(M)` builds the schedule for M members, its settings in
    fp64.
    """
    three, two = make_schedule(3), make_schedule(2)
    name = type(three).__name__
    for updates in RUNS:
        try:
            three.check(updates)
        except ValueError:  # it says that a run of so many updates does not fit
            continue
        forwards = [_factor(three, update, updates, three.init(3), 3) for update in range(updates)]
        backwards = [
            _factor(three, update, updates, three.init(3), 3) for update in reversed(range(updates))
        ]
        assert _equal(forwards, backwards[::-1]), (
            f"{name}: an update's factor depends on the updates that were asked for before; a"
            " schedule keeps nothing on self"
        )
        of_two = [_factor(two, update, updates, two.init(2), 2) for update in range(updates)]
        assert _equal([factor[:2] for factor in forwards], of_two), (
            f"{name}: a member's factor depends on its company; {COMPANY}"
        )
    of_three = _validated(three, 3)
    assert _equal([factor[:2] for factor in of_three], _validated(two, 2)), (
        f"{name}: a member's factor depends on the validations of its company; {COMPANY}"
    )
    assert _equal(_validated(three, 3, apart=True), of_three), (
        f"{name}: a state whose members are taken apart and put together goes on otherwise; it must"
        " hold all that the schedule remembers"
    )


def _factor(schedule: Schedule, update: int, updates: int, state: Any, members: int) -> Tensor:
    factor, name = schedule(update, updates, state), type(schedule).__name__
    got = tuple(factor.shape) if isinstance(factor, Tensor) else type(factor).__name__
    assert got == (members,), f"{name}: must return [M] = ({members},), got {got}"
    assert (factor.isfinite() & (factor >= 0)).all(), (
        f"{name}: factors must be finite and at least 0, got {factor.tolist()} for update {update}"
        f" of {updates}"
    )
    return factor


def _validated(schedule: Schedule, members: int, *, apart: bool = False) -> list[Tensor]:
    """Factors after each of some validations: of one member better and better, of one never
    better, and of one that is not finite in the end.
    """
    state, factors, updates = schedule.init(members), [], 10 * VALIDATIONS
    for number in range(VALIDATIONS):
        losses = [1.0, 0.9**number, 1.0 if number < VALIDATIONS // 2 else torch.nan][:members]
        loss = torch.tensor(losses, dtype=torch.float64)
        given = {"losses": loss, "state": state}
        before = copy.deepcopy(given)
        state = schedule.validated(loss, state)
        check_unchanged(type(schedule).__name__, given, before)
        if apart:
            state = stack_members([take_member(state, one, members) for one in range(members)])
        factors.append(_factor(schedule, 10 * number, updates, state, members))
    return factors


def _equal(factors: list[Tensor], others: list[Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(factors, others, strict=True))
