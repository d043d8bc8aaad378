"""Recall of key-value pairs (associative recall: Ba et al. 2016, arXiv 1610.06258; with many
questions a sequence, Arora et al. 2023, arXiv 2312.04927).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from study.interfaces import Batch, TaskFacts, require
from study.tasks.shared.classes import ClassEachStep
from study.tasks.shared.generated import Generated
from study.tasks.shared.losses import correct

VALUES = 8


class Recall(ClassEachStep, Generated):
    """Is shown `pairs` of a key and a value, a pair a step; then asked for every key, in disorder.

    x [2·pairs, keys + 8]: one-hot, the key beside its value, or beside nothing where it is asked
    for. Keys are drawn from `keys` without repetition, values from 8 kinds, anew for every
    sequence: what goes with a key must be kept, and none of it is in the weights. Class 8 while
    pairs are shown. Metric: recall where it is asked. Memoryless: 1/8. Counting values without
    their keys, and answering the most frequent one, gives .33 with 8 pairs.
    """

    def __init__(
        self, *, pairs: int, keys: int, lag: int | None, examples: int, solved: float
    ) -> None:
        require(pairs >= 2, "recall", "pairs", "at least 2", pairs)
        require(keys >= pairs, "recall", "keys", f"at least pairs = {pairs}", keys)
        require(lag is None or lag > 0, "recall", "lag", "greater than 0 or null", lag)
        require(examples >= 2, "recall", "examples", "at least 2", examples)
        require(0 < solved <= 1, "recall", "solved", "a recall above 0 and at most 1", solved)
        self.pairs, self.keys, self.lag = pairs, keys, lag
        self.examples, self.solved = examples, solved

    @property
    def facts(self) -> TaskFacts:
        return TaskFacts(
            inputs=self.keys + VALUES,
            outputs=VALUES + 1,
            steps=2 * self.pairs,
            lag=self.lag if self.lag is not None else self.pairs,
            every_step=True,
            loss="cross-entropy over all steps, nats",
            metric="recall of the values",
            higher_is_better=True,
            baseline_loss=math.log(VALUES) / 2,
            baseline=1 / VALUES,
            solved=self.solved,
            split=f"drawn anew each update; fixed validation and test sets of {self.examples}",
            source="generated",
            licence="none needed",
        )

    def draw(self, rng: torch.Generator, batch: int) -> Batch:
        key = torch.rand(batch, self.keys, generator=rng).argsort(1)[:, : self.pairs]
        value = torch.randint(0, VALUES, (batch, self.pairs), generator=rng)
        order = torch.rand(batch, self.pairs, generator=rng).argsort(1)
        keys = torch.nn.functional.one_hot(torch.cat([key, key.gather(1, order)], 1), self.keys)
        shown = torch.nn.functional.one_hot(value, VALUES)
        values = torch.cat([shown, torch.zeros_like(shown)], 1)
        nothing = torch.full_like(value, VALUES)
        y = torch.cat([nothing, value.gather(1, order)], 1)
        return Batch(x=torch.cat([keys, values], 2).float(), y=y)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return correct(outputs, batch.y)[..., self.pairs :].mean(-1)
