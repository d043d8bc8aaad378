"""Bases of classification tasks: cross-entropy in nats and accuracy."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from study.interfaces import Batch, Task
from study.tasks.shared.losses import at_step, correct, cross_entropy, mean_cross_entropy


class OneClass(Task):
    """One class per sequence, y [B], predicted at its last step; the metric is accuracy."""

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(outputs, batch.y).mean(1)

    def loss_gradient(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        return mean_cross_entropy(outputs, batch.y)

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        return cross_entropy(outputs, batch.y)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return correct(outputs, batch.y)

    def signature(self) -> dict[str, Any]:
        return super().signature() | {"output": numbered(self.facts.outputs)}


class ClassEachStep(Task):
    """One class per step, y [B, T], with equal weight in the loss; subclasses define the metric."""

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(outputs, batch.y).mean((1, 2))

    def loss_gradient(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        return mean_cross_entropy(outputs, batch.y)

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        return at_step(cross_entropy(outputs, batch.y), anchor)

    def signature(self) -> dict[str, Any]:
        return super().signature() | {"output": numbered(self.facts.outputs)}


def numbered(count: int) -> dict[str, Any]:
    """Classes without names, as a task's signature states them: 0, 1, …"""
    return {"kind": "classes", "classes": list(range(count))}
