"""The adding problem (Hochreiter & Schmidhuber 1997; as in Le 2015): sum two marked numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Batch, Part, TaskFacts, require
from study.tasks.shared.generated import Generated
from study.tasks.shared.losses import mean_squared_error, squared_error


class Adding(Generated):
    """x [T, 2]: channel 0 uniform in (0, 1), channel 1 marks a step in each half; y: their sum."""

    def __init__(self, *, steps: int, lag: int | None, examples: int, solved: float) -> None:
        require(steps >= 2, "adding", "steps", "at least 2", steps)
        require(lag is None or lag > 0, "adding", "lag", "greater than 0 or null", lag)
        require(examples >= 2, "adding", "examples", "at least 2", examples)
        require(solved > 0, "adding", "solved", "a mean squared error above 0", solved)
        self.steps, self.lag, self.examples, self.solved = steps, lag, examples, solved

    @property
    def facts(self) -> TaskFacts:
        return TaskFacts(
            inputs=2,
            outputs=1,
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.steps,
            every_step=False,
            loss="mean squared error",
            metric="mean squared error",
            higher_is_better=False,
            baseline_loss=1 / 6,  # variance of the sum of two uniform numbers
            baseline=1 / 6,
            solved=self.solved,
            split=f"drawn anew each update; fixed validation and test sets of {self.examples}",
            source="generated",
            licence="none needed",
        )

    def guess_loss(self, part: Part) -> float:
        """Of the mean of the distribution, 1, on the examples of this split."""
        return float((self.split(part).y - 1).square().mean())

    def draw(self, rng: torch.Generator, batch: int) -> Batch:
        half = self.steps // 2
        values = torch.rand(batch, self.steps, generator=rng)
        first = torch.randint(0, half, (batch, 1), generator=rng)
        second = torch.randint(half, self.steps, (batch, 1), generator=rng)
        marks = torch.zeros(batch, self.steps).scatter(1, first, 1.0).scatter(1, second, 1.0)
        return Batch(
            x=torch.stack([values, marks], dim=-1), y=(values * marks).sum(1, keepdim=True)
        )

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return squared_error(outputs, batch.y).mean(1)

    def loss_gradient(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        return mean_squared_error(outputs, batch.y)

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        return squared_error(outputs, batch.y)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return squared_error(outputs, batch.y)
