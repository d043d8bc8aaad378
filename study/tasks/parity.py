"""Parity of a bit string, a state-tracking task.

Cells whose gates depend on the input alone cannot learn it (Merrill 2024, Sarrof 2024).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from study.interfaces import Batch, TaskFacts, require
from study.tasks.shared.classes import ClassEachStep
from study.tasks.shared.generated import Generated
from study.tasks.shared.losses import correct


class Parity(ClassEachStep, Generated):
    """x [T, 1] of -1 and 1 with equal probability; y_t: parity of the ones among the first t.

    Cross-entropy at every step. Metric: accuracy at the last step. Memoryless: ln 2 and 1/2.
    """

    def __init__(self, *, steps: int, lag: int | None, examples: int, solved: float) -> None:
        require(steps >= 2, "parity", "steps", "at least 2", steps)
        require(lag is None or lag > 0, "parity", "lag", "greater than 0 or null", lag)
        require(examples >= 2, "parity", "examples", "at least 2", examples)
        require(
            0.5 < solved <= 1, "parity", "solved", "an accuracy above 1/2 and at most 1", solved
        )
        self.steps, self.lag, self.examples, self.solved = steps, lag, examples, solved

    @property
    def facts(self) -> TaskFacts:
        return TaskFacts(
            inputs=1,
            outputs=2,
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.steps,
            every_step=True,
            loss="cross-entropy over all steps, nats",
            metric="accuracy on the last step",
            higher_is_better=True,
            baseline_loss=math.log(2),
            baseline=0.5,
            solved=self.solved,
            split=f"drawn anew each update; fixed validation and test sets of {self.examples}",
            source="generated",
            licence="none needed",
        )

    def draw(self, rng: torch.Generator, batch: int) -> Batch:
        bits = torch.randint(0, 2, (batch, self.steps), generator=rng)
        return Batch(x=(2.0 * bits - 1)[..., None], y=bits.cumsum(1) % 2)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return correct(outputs[..., -1, :], batch.y[..., -1])
