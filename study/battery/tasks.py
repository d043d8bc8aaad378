"""Checks of tasks."""

from __future__ import annotations

import json

import torch

from study.battery.shared import COMPANY
from study.interfaces import PARTS, Batch, Task, defines
from study.numerics.streams import generator


def check_task(task: Task) -> None:
    """Check that facts match the data, batches are reproducible and splits disjoint.

    Losses must not mix members.
    """
    task.load()
    name, facts = type(task).__name__, task.facts
    assert facts.lag is None or 0 < facts.lag <= facts.steps, (
        f"{name}: lag {facts.lag} of {facts.steps} steps"
    )
    if task.without_data:
        return

    def batch(seed: int, update: int) -> Batch:
        return task.sample(lambda *key: generator(seed, "data", *key), update, 6)

    first = batch(0, 3)
    assert first.x.shape == (6, facts.steps, facts.inputs), (
        f"{name}: x has shape {tuple(first.x.shape)}, facts say {(6, facts.steps, facts.inputs)}"
    )
    again = batch(0, 3)
    assert torch.equal(first.x, again.x), f"{name}: a batch is not a function of (seed, update)"
    assert torch.equal(first.y, again.y), (
        f"{name}: y of a batch is not a function of (seed, update)"
    )
    assert not torch.equal(first.x, batch(1, 3).x), f"{name}: seeds give equal batches"
    assert not torch.equal(first.x, batch(0, 4).x), f"{name}: updates give equal batches"
    parts: dict[str, Batch] = {part: task.split(part) for part in PARTS}
    assert torch.equal(parts["test"].x, task.split("test").x), (
        f"{name}: the test split changes between calls"
    )
    sets = {part: {x.numpy().tobytes() for x in examples.x} for part, examples in parts.items()}
    for one, other in (("train", "test"), ("validation", "test"), ("train", "validation")):
        common = len(sets[one] & sets[other]) / len(sets[other])
        assert common < 0.02, f"{name}: {common:.0%} of {other} are also examples of {one}"
    _task_losses(task, first)
    _signature(task)


def _signature(task: Task) -> None:
    name, found = type(task).__name__, task.signature()
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again == found, f"{name}: signature() holds values that JSON cannot"
    kinds = (found["input"]["kind"], found["output"]["kind"])
    assert kinds[0] in ("numbers", "image", "text") and kinds[1] in ("numbers", "classes"), (
        f"{name}: signature() has kinds {kinds}; see study.interfaces.Task"
    )
    classes = found["output"].get("classes", range(task.facts.outputs))
    assert len(classes) == task.facts.outputs, (
        f"{name}: signature() names {len(classes)} classes, and there are {task.facts.outputs}"
        " outputs"
    )


def _task_losses(task: Task, batch: Batch) -> None:
    name, facts = type(task).__name__, task.facts
    both = Batch(
        x=torch.stack([batch.x] * 2),
        y=torch.stack([batch.y] * 2),
        lengths=None if batch.lengths is None else torch.stack([batch.lengths] * 2),
    )
    shape = (2, 6, facts.steps, facts.outputs) if facts.every_step else (2, 6, facts.outputs)
    outputs = torch.randn(shape, generator=generator(0, "outputs")).requires_grad_()
    loss = task.loss(outputs, both)
    assert loss.shape == (2,), (
        f"{name}: loss has shape {tuple(loss.shape)}, expected one value per member"
    )
    if defines(type(task), "loss_gradient", beside=("loss",)):
        with torch.no_grad():
            own = task.loss_gradient(outputs.detach(), both)
        assert all(map(torch.equal, own, Task.loss_gradient(task, outputs, both))), (
            f"{name}: `loss_gradient` rounds otherwise than autograd"
        )
    (grad,) = torch.autograd.grad(loss[0], outputs, retain_graph=True)
    assert (grad[1] == 0).all(), (
        f"{name}: member 0's loss has a gradient with respect to member 1's outputs; {COMPANY}"
    )
    assert task.metric(outputs, both).shape == (2, 6), f"{name}: metric must be [M, B]"
    last = torch.full((6,), facts.steps - 1) if batch.lengths is None else batch.lengths - 1
    # from the first step to the last
    anchor = last * torch.arange(6) // 5 if facts.every_step else last
    at_end = task.step_loss(outputs, both, anchor)
    assert at_end.shape == (2, 6), f"{name}: step_loss must be [M, B]"
    if not facts.every_step:
        assert torch.allclose(at_end.mean(1), loss, rtol=1e-5), (
            f"{name}: the loss is not the mean of the examples' own losses"
        )
    (grad,) = torch.autograd.grad(at_end.sum(), outputs)
    assert grad.abs().sum() > 0
    if facts.every_step:
        others = torch.arange(facts.steps) != anchor[:, None]
        assert (grad[:, others] == 0).all(), (
            f"{name}: the loss of one step depends on other steps' outputs"
        )
