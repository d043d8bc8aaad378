"""The rules that every task keeps, and what the best guesses score."""

from __future__ import annotations

import pytest
import torch
from skeleton import Skeleton

from study.battery.tasks import check_task
from study.interfaces import Batch


def test_it_keeps_the_rules_of_tasks():
    check_task(Skeleton(steps=12, examples=60, solved=0.01))


def test_the_baseline_and_the_perfect_answer():
    task = Skeleton(steps=5, examples=4000, solved=0.01)
    part = task.split("test")
    batch = Batch(x=part.x[None], y=part.y[None])
    assert float(task.loss(torch.zeros(1, 4000, 1), batch)) == pytest.approx(
        task.facts.baseline_loss, rel=0.05
    )
    assert float(task.loss(batch.x[:, :, 0], batch)) == 0
