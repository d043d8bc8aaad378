"""The learning rate of each update: the optimizer's, times the factor of a schedule."""

from __future__ import annotations

from torch import Tensor

from study.interfaces import Optimizer
from study.training.state import Training


def scheduled(training: Training, update: int) -> tuple[Optimizer, Tensor | None]:
    """The optimizer with the learning rates of this update, and the factors [M] of the schedule."""
    if training.schedule is None:
        return training.optimizer, None
    updates = training.setup.updates
    factors = training.schedule(update, updates, training.schedule_state)
    return training.optimizer.scaled(factors), factors


def validated(training: Training, loss: Tensor) -> None:
    """Let the schedule see the losses [M] of a validation."""
    if training.schedule is not None:
        state = training.schedule_state
        training.schedule_state = training.schedule.validated(loss.double(), state)
