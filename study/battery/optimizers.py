"""Checks of optimizers."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from study.battery.shared import COMPANY, check_company, check_unchanged, some_rows
from study.interfaces import Optimizer, defines
from study.training.serialize import stack_members, take_member

UPDATES = 20


def check_optimizer(make_optimizer: Callable[[int], Optimizer]) -> None:
    """Check that members do not mix, nothing changes in place, and a quadratic decreases.

    Also that a state is whole: taken apart by members and put together it goes on alike; that a
    learning rate times 1 is the same one, where the optimizer can follow a schedule; and that
    weight decay can spare biases, where the optimizer has the setting. `native`, where it is
    defined, gives the same bits.
    `make_optimizer(M)` builds the optimizer for M members.
    """
    three, two = make_optimizer(3), make_optimizer(2)
    name = type(three).__name__
    of_three, of_two = _path(three, slice(0, 3)), _path(two, slice(0, 2))
    check_company(of_three[:2], of_two, f"{name}: a member's path depends")
    assert (of_three.norm(dim=1) < some_rows(3, seed=1).norm(dim=1)).all(), (
        f"{name}: {UPDATES} updates did not decrease a quadratic"
    )
    assert torch.equal(_path(three, slice(0, 3), apart=True), of_three), (
        f"{name}: a state whose members are taken apart and put together goes on otherwise, so"
        " checkpoints would change numbers; it must hold all that the optimizer remembers"
    )
    if defines(type(three), "native", beside=("__call__",)):
        assert torch.equal(_path(three, slice(0, 3), compiled=True), of_three), (
            f"{name}: `native` rounds otherwise than `__call__`"
        )
    _check_following(three, two, of_three)
    if "decay_biases" in three.later or not three.decay_biases:
        _check_sparing(three, of_three)


def _path(
    optimizer: Optimizer, members: slice, *, apart: bool = False, compiled: bool = False
) -> Tensor:
    """Weights after some updates on a quadratic."""
    params = some_rows(3, seed=1)[members]
    state = optimizer.init(params)
    for _ in range(UPDATES):
        grads = params.clone()
        given = {"parameters": params, "gradients": grads, "state": state}
        before = copy.deepcopy(given)
        step = optimizer.native if compiled else optimizer
        params, state = step(grads, params, state)
        check_unchanged(type(optimizer).__name__, given, before)
        if apart:
            count = len(params)
            state = stack_members([take_member(state, member, count) for member in range(count)])
    return params


def _check_following(three: Optimizer, two: Optimizer, path: Tensor) -> None:
    """Check that a learning rate times 1 is the same one, and that those of others do not count."""
    name, different = type(three).__name__, torch.tensor([0.5, 0.9, 0.1]).double()
    try:
        same = three.scaled(torch.ones(3).double())
    except ValueError:  # it says that it cannot follow a schedule
        return
    assert torch.equal(_path(same, slice(0, 3)), path), (
        f"{name}: a learning rate times 1 is another one; see `scaled`"
    )
    of_three = _path(three.scaled(different), slice(0, 3))
    of_two = _path(two.scaled(different[:2]), slice(0, 2))
    assert torch.equal(of_three[:2], of_two), (
        f"{name}: a member's path depends on the learning rates of its company; {COMPANY}"
    )


def _check_sparing(optimizer: Optimizer, path: Tensor) -> None:
    """Check that sparing no column changes nothing, and sparing some leaves the others alone."""
    width, name = path.shape[1], type(optimizer).__name__
    none, some = torch.zeros(width, dtype=torch.bool), torch.arange(width) < width // 3
    everyone = slice(0, len(path))
    assert torch.equal(_path(optimizer.sparing(none), everyone), path), (
        f"{name}: sparing no column of weight decay changes the updates; see `sparing`"
    )
    spared = _path(optimizer.sparing(some), everyone)
    assert torch.allclose(spared[:, ~some], path[:, ~some], rtol=1e-6), (
        f"{name}: sparing some columns of weight decay changes the others; see `sparing`"
    )
