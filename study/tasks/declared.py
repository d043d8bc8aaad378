"""A task whose data the trainer brings: what is measured, and what counts as solved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from study.interfaces import Batch, Part, Task, TaskFacts, require
from study.records import StudyError


class Declared(Task):
    """Facts alone, for a trainer of the user's own.

    name, data: of the problem, and of its data in words or as a version; both are part of every
    point's id. metric: name of the score. baseline: the score of the best guess that ignores the
    sequence; baseline_loss: its loss. solved: from which score it counts as solved, or null. steps,
    lag: length of the sequences, and how far back they must be remembered, or null.
    """

    without_data = True

    def __init__(
        self,
        *,
        name: str,
        data: str,
        metric: str,
        higher_is_better: bool,
        loss: str,
        baseline: float,
        baseline_loss: float,
        solved: float | None,
        steps: int,
        lag: int | None,
        every_step: bool,
    ) -> None:
        require(steps >= 1, "declared", "steps", "at least 1", steps)
        if solved is not None:
            beyond = solved > baseline if higher_is_better else solved < baseline
            side = "above" if higher_is_better else "below"
            require(beyond, "declared", "solved", f"{side} the baseline {baseline} or null", solved)
        self.name, self.data, self.solved, self.lag = name, data, solved, lag
        self.metric_name, self.higher_is_better, self.loss_name = metric, higher_is_better, loss
        self.baseline, self.baseline_loss = baseline, baseline_loss
        self.steps, self.every_step = steps, every_step

    def load(self) -> None:
        pass

    @property
    def facts(self) -> TaskFacts:
        return TaskFacts(
            inputs=1,
            outputs=1,
            steps=self.steps,
            lag=self.lag,
            every_step=self.every_step,
            loss=self.loss_name,
            metric=self.metric_name,
            higher_is_better=self.higher_is_better,
            baseline_loss=self.baseline_loss,
            baseline=self.baseline,
            solved=self.solved,
            split="by the trainer",
            source=f"{self.name}: {self.data}",
            licence="as its source says",
        )

    def data_hash(self) -> str:
        return f"declared: {self.name}, {self.data}"

    def sample(self, stream: Callable[..., torch.Generator], update: int, batch: int) -> Batch:
        raise self._no_data()

    def split(self, part: Part) -> Batch:
        raise self._no_data()

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        raise self._no_data()

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        raise self._no_data()

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        raise self._no_data()

    def signature(self) -> dict[str, Any]:
        return {}

    def _no_data(self) -> StudyError:
        return StudyError(
            "task: declared has no data: it is for trainers that bring their own (trainer=NAME);"
            " the engine needs another task"
        )
