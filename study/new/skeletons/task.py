"""A task of your own: sequences, their loss, their metric, and when they count as solved."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Batch, TaskFacts, require
from study.tasks.shared.generated import Generated
from study.tasks.shared.losses import squared_error


class Skeleton(Generated):
    """x [T, 1] uniform in (-1, 1); y = x_1, the first value, asked for after the last step.

    Mean squared error.

    The contract (study/interfaces.py): a batch is a function of the generator handed in; the loss
    is [M], one a member, never a sum over members; the metric and the loss of one step are [M, B].
    The facts state the guess that ignores the sequence (here 0, with the variance of x_1) and what
    counts as solved. This base draws sequences; over arrays of your own, extend
    study.tasks.shared.arrays.Arrays.
    """

    def __init__(self, *, steps: int, examples: int, solved: float) -> None:
        require(steps >= 2, "skeleton", "steps", "at least 2", steps)
        require(examples >= 2, "skeleton", "examples", "at least 2", examples)
        require(solved > 0, "skeleton", "solved", "a mean squared error above 0", solved)
        self.steps, self.examples, self.solved = steps, examples, solved

    @property
    def facts(self) -> TaskFacts:
        return TaskFacts(
            inputs=1,
            outputs=1,
            steps=self.steps,
            lag=self.steps - 1,  # from the first step to the last
            every_step=False,
            loss="mean squared error",
            metric="mean squared error",
            higher_is_better=False,
            baseline_loss=1 / 3,
            baseline=1 / 3,
            solved=self.solved,
            split=f"drawn anew each update; fixed validation and test sets of {self.examples}",
            source="generated",
            licence="none needed",
        )

    def draw(self, rng: torch.Generator, batch: int) -> Batch:
        x = 2 * torch.rand(batch, self.steps, 1, generator=rng) - 1
        return Batch(x=x, y=x[:, 0])

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return squared_error(outputs, batch.y).mean(1)

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        return squared_error(outputs, batch.y)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return squared_error(outputs, batch.y)
