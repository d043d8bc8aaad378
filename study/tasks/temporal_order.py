"""Temporal order (Hochreiter & Schmidhuber 1997; lengths as in Pascanu 2013)."""

from __future__ import annotations

import math
from typing import Any

import torch

from study.interfaces import Batch, TaskFacts, require
from study.tasks.shared.classes import OneClass
from study.tasks.shared.generated import Generated

SYMBOLS = 6  # A, B and four distractors


class TemporalOrder(OneClass, Generated):
    """6 one-hot symbols: A or B at p0 in [.1L, .2L) and at p1 in [.5L, .6L), else distractors.

    Classes: AA, AB, BA, BB.
    """

    def __init__(self, *, steps: int, lag: int | None, examples: int, solved: float) -> None:
        require(steps >= 10, "temporal_order", "steps", "at least 10", steps)
        require(lag is None or lag > 0, "temporal_order", "lag", "greater than 0 or null", lag)
        require(examples >= 2, "temporal_order", "examples", "at least 2", examples)
        require(
            0 < solved <= 1, "temporal_order", "solved", "an accuracy above 0 and at most 1", solved
        )
        self.steps, self.lag, self.examples, self.solved = steps, lag, examples, solved

    @property
    def facts(self) -> TaskFacts:
        return TaskFacts(
            inputs=SYMBOLS,
            outputs=4,
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.steps - _tenths(1, self.steps),
            every_step=False,
            loss="cross-entropy, nats",
            metric="accuracy",
            higher_is_better=True,
            baseline_loss=math.log(4),
            baseline=0.25,
            solved=self.solved,
            split=f"drawn anew each update; fixed validation and test sets of {self.examples}",
            source="generated",
            licence="none needed",
        )

    def signature(self) -> dict[str, Any]:
        return super().signature() | {
            "output": {"kind": "classes", "classes": ["AA", "AB", "BA", "BB"]}
        }

    def draw(self, rng: torch.Generator, batch: int) -> Batch:
        symbols = torch.randint(2, SYMBOLS, (batch, self.steps), generator=rng)
        relevant = torch.randint(0, 2, (batch, 2), generator=rng)
        for which, tenth in enumerate((1, 5)):
            position = torch.randint(
                _tenths(tenth, self.steps),
                _tenths(tenth + 1, self.steps),
                (batch, 1),
                generator=rng,
            )
            symbols = symbols.scatter(1, position, relevant[:, which : which + 1])
        return Batch(
            x=torch.nn.functional.one_hot(symbols, SYMBOLS).float(),
            y=2 * relevant[:, 0] + relevant[:, 1],
        )


def _tenths(count: int, steps: int) -> int:
    """The first step at or after count/10 of the sequence."""
    return -(-count * steps // 10)
