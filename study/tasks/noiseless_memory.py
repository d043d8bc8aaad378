"""Noiseless memorization (Hochreiter & Schmidhuber 1997; Martens & Sutskever 2011)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from study.interfaces import Batch, TaskFacts, require
from study.tasks.shared.classes import ClassEachStep
from study.tasks.shared.generated import Generated
from study.tasks.shared.losses import correct

BLANK, MARKER = -2, -1  # counted from the end of the input symbols


class NoiselessMemory(ClassEachStep, Generated):
    """Repeat `bits` random bits after `wait` blanks and a marker; blank output before that.

    Length wait + 2 bits + 1. There are no distractors: what is lost is lost by the network itself.
    Loss: cross-entropy over all steps; memoryless bits · ln 2 / length. Metric: share of correct
    bits; chance is 1/2. Few bits have few patterns (5 bits: 32), which training, validation and
    test then share.
    """

    def __init__(
        self, *, bits: int, wait: int, lag: int | None, examples: int, solved: float
    ) -> None:
        require(bits >= 1, "noiseless_memory", "bits", "at least 1", bits)
        require(wait >= 1, "noiseless_memory", "wait", "at least 1", wait)
        require(lag is None or lag > 0, "noiseless_memory", "lag", "greater than 0 or null", lag)
        require(examples >= 2, "noiseless_memory", "examples", "at least 2", examples)
        require(
            0 < solved <= 1, "noiseless_memory", "solved", "a share above 0 and at most 1", solved
        )
        self.bits, self.wait, self.lag, self.examples, self.solved = (
            bits,
            wait,
            lag,
            examples,
            solved,
        )

    @property
    def steps(self) -> int:
        return self.wait + 2 * self.bits + 1

    @property
    def facts(self) -> TaskFacts:
        return TaskFacts(
            inputs=4,
            outputs=3,
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.bits + self.wait + 1,
            every_step=True,
            loss="cross-entropy over all steps, nats",
            metric="share of bits right",
            higher_is_better=True,
            baseline_loss=self.bits * math.log(2) / self.steps,
            baseline=0.5,
            solved=self.solved,
            split=f"drawn anew each update; fixed validation and test sets of {self.examples}",
            source="generated",
            licence="none needed",
        )

    def draw(self, rng: torch.Generator, batch: int) -> Batch:
        bits = torch.randint(0, 2, (batch, self.bits), generator=rng)
        x = torch.full((batch, self.steps), 4 + BLANK)
        x[:, : self.bits] = bits
        x[:, self.bits + self.wait] = 4 + MARKER
        y = torch.full((batch, self.steps), 2)
        y[:, -self.bits :] = bits
        return Batch(x=torch.nn.functional.one_hot(x, 4).float(), y=y)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return correct(outputs, batch.y)[..., -self.bits :].mean(-1)
