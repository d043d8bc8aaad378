"""Train a group: update, validate, probe, freeze members that are no longer finite.

A member's numbers do not depend on the other members: reductions skip the member axis, every draw
comes from the member's own streams, a lone member is doubled (at M = 1 libraries take other code
paths and round differently), and losses are summed over members only for the backward pass. Nothing
is fetched from the device inside the loop.
"""

from __future__ import annotations

from collections.abc import Callable

from study.training.evaluation import validate
from study.training.probing import probe, stages_due
from study.training.state import Training
from study.training.step import step


class Stopped(Exception):
    """Training has stopped on request; its checkpoints are kept."""


def train(
    training: Training,
    on_validation: Callable[[int], bool | None],
    *,
    updates_made: int = 0,
    before_update: Callable[[int], None] = lambda update: None,
) -> None:
    """Make all updates after the first `updates_made`, with validations and probes in between.

    `on_validation(update)` is called after every validation; if it returns true, training ends.
    `before_update(update)` is called when the state is complete, so it may write checkpoints
    (study.training.checkpoints). Both run before the first update and after the last one, too.
    """
    updates, every = training.setup.updates, training.setup.validate_every
    for update in range(updates_made, updates + 1):
        before_update(update)
        probe(training, update, stages_due(training, update))
        if update % every == 0 or update == updates:
            validate(training, update)
            if on_validation(update):
                return
        if update < updates:
            step(training, update)
