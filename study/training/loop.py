"""Train a group: stack its members, update, validate, probe, freeze what is no longer finite.

A member's numbers do not depend on its company: reductions skip the member axis, every draw comes
from the member's own streams, a lone member is doubled (at M = 1 libraries take other paths and
round differently), and the sum over members is only taken for the backward pass. Nothing is fetched
from the device inside the loop.
"""

from __future__ import annotations

from collections.abc import Callable

from study.training.evaluation import validate
from study.training.probing import due_stages, probe
from study.training.state import Training
from study.training.step import step


def train(
    training: Training,
    report: Callable[[int], bool | None],
    *,
    made: int = 0,
    before: Callable[[int], None] = lambda update: None,
) -> None:
    """All updates after those `made`, with validations and probes at their times, before the first
    update and after the last included.

    `report` hears of every validation; a true answer ends training there. `before` hears of every
    update before anything of it is done: what training carries is then whole
    (study.training.checkpoints).
    """
    updates, every = training.setup.updates, training.setup.validate_every
    for update in range(made, updates + 1):
        before(update)
        probe(training, update, due_stages(training, update))
        if update % every == 0 or update == updates:
            validate(training, update)
            if report(update):
                return
        if update < updates:
            step(training, update)
