"""The copying problem (Hochreiter & Schmidhuber 1997; in this form Arjovsky 2016)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from study.interfaces import Batch, TaskFacts, require
from study.tasks.shared.classes import ClassEachStep
from study.tasks.shared.generated import Generated
from study.tasks.shared.losses import correct

SYMBOLS, COUNT = 8, 10
BLANK, MARKER = SYMBOLS, SYMBOLS + 1


class Copying(ClassEachStep, Generated):
    """Repeat 10 symbols of 8 kinds after T-1 blanks and a marker; blank output before that.

    `steps` is the whole length, T+20. Loss: cross-entropy over all steps. Metric: recall of the 10
    symbols alone.
    """

    def __init__(self, *, steps: int, lag: int | None, examples: int, solved: float) -> None:
        require(
            steps > 2 * COUNT,
            "copying",
            "steps",
            f"at least {2 * COUNT + 1}: {COUNT} to show, a wait, {COUNT} to answer",
            steps,
        )
        require(lag is None or lag > 0, "copying", "lag", "greater than 0 or null", lag)
        require(examples >= 2, "copying", "examples", "at least 2", examples)
        require(0 < solved <= 1, "copying", "solved", "a recall above 0 and at most 1", solved)
        self.steps, self.wait, self.lag, self.examples, self.solved = (
            steps,
            steps - 2 * COUNT,
            lag,
            examples,
            solved,
        )

    @property
    def facts(self) -> TaskFacts:
        return TaskFacts(
            inputs=SYMBOLS + 2,
            outputs=SYMBOLS + 1,
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.wait + COUNT,
            every_step=True,
            loss="cross-entropy over all steps, nats",
            metric="recall of the symbols",
            higher_is_better=True,
            baseline_loss=COUNT * math.log(SYMBOLS) / self.steps,
            baseline=1 / SYMBOLS,
            solved=self.solved,
            split=f"drawn anew each update; fixed validation and test sets of {self.examples}",
            source="generated",
            licence="none needed",
        )

    def draw(self, rng: torch.Generator, batch: int) -> Batch:
        symbols = torch.randint(0, SYMBOLS, (batch, COUNT), generator=rng)
        blanks = torch.full((batch, self.wait - 1), BLANK)
        marker, answer = torch.full((batch, 1), MARKER), torch.full((batch, COUNT), BLANK)
        x = torch.cat([symbols, blanks, marker, answer], dim=1)
        y = torch.cat([torch.full((batch, self.wait + COUNT), BLANK), symbols], dim=1)
        return Batch(x=torch.nn.functional.one_hot(x, SYMBOLS + 2).float(), y=y)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return correct(outputs, batch.y)[..., -COUNT:].mean(-1)
