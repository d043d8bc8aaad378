"""Bases of tasks that ask for classes: their loss, a cross-entropy in nats, and what is scored."""

from __future__ import annotations

from torch import Tensor

from study.interfaces import Batch, Task
from study.tasks.shared.losses import at_step, correct, cross_entropy


class OneClass(Task):
    """A class a sequence, y [B], told after its last step; the metric is accuracy."""

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(outputs, batch.y).mean(1)

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        return cross_entropy(outputs, batch.y)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return correct(outputs, batch.y)


class ClassEachStep(Task):
    """A class a step, y [B, T], all steps alike in the loss; the metric is the task's own."""

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(outputs, batch.y).mean((1, 2))

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        return at_step(cross_entropy(outputs, batch.y), anchor)
