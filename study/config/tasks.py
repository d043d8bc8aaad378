"""Build tasks from their configuration; load and check their data once per process."""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from study.config.build import as_study_error, build
from study.interfaces import PARTS, Batch, Task, TaskFacts
from study.numerics.streams import generator
from study.records import LOCATED, StudyError

MOST_FILES = 20  # of a folder, whose changes are noticed within a process


def load_task(node: Mapping[str, Any]) -> Task:
    """Return the task of a configuration node with its data loaded, cached per process.

    A loaded task is never changed; a file that has changed is read again.
    """
    return _load_task(json.dumps(node, sort_keys=True), _stamps(node))


def _stamps(node: Mapping[str, Any]) -> tuple[tuple[str, int, int], ...]:
    """Names, times and sizes of the files that the node names, also of those in a folder."""
    paths = [Path(value) for key in LOCATED if isinstance(value := node.get(key), str)]
    files = [each for path in paths for each in (path, *(path.iterdir() if path.is_dir() else ()))]
    found = []
    for file in sorted(files)[:MOST_FILES]:
        with contextlib.suppress(OSError):
            facts = file.stat()
            found.append((str(file), facts.st_mtime_ns, facts.st_size))
    return tuple(found)


@functools.lru_cache(maxsize=8)
def _load_task(text: str, stamps: tuple[tuple[str, int, int], ...]) -> Task:
    task: Task = build(json.loads(text), "task")
    name = type(task).__name__
    with as_study_error("task", f"{name} cannot load its data"):
        try:
            task.load()
        except (ValueError, OSError) as error:
            raise StudyError(f"task: {error}") from error
    with as_study_error("task", f"{name} cannot state its facts"):
        facts = task.facts
    if not isinstance(facts, TaskFacts):
        raise StudyError(f"task: {name}.facts must be TaskFacts, got {type(facts).__name__}")
    if facts.lag is not None and facts.lag > facts.steps:
        raise StudyError(
            f"task: lag must be at most the sequence's {facts.steps} steps, got {facts.lag}"
        )
    with as_study_error("task", f"{name} cannot state its signature"):
        signature(task)
    with as_study_error("task", f"{name} fails on its first examples"):
        for key in ("baseline", "baseline_loss", "solved"):
            _check_finite(facts, key, name)
        if not task.without_data:
            _check_examples(task, facts)
            _check_losses(task, facts)
    return task


@functools.lru_cache(maxsize=8)
def signature(task: Task) -> dict[str, Any]:
    """Return what a loaded task says about its raw input and its answers, in plain values.

    Computed once per task, as every point stores it.
    """
    return dict(json.loads(json.dumps(task.signature(), allow_nan=False)))


def _check_finite(facts: TaskFacts, key: str, name: str) -> None:
    value = getattr(facts, key)
    if not (key == "solved" and value is None) and not math.isfinite(value):
        raise StudyError(f"task: {key} of {name} must be a finite number, got {value}")


def _check_examples(task: Task, facts: TaskFacts) -> None:
    """Check that every split holds finite examples of the stated shape."""
    name = type(task).__name__
    for where, batch in _batches(task):
        steps = facts.steps if where == "a training batch" else "T"
        if (
            batch.x.ndim != 3
            or batch.x.shape[2] != facts.inputs
            or len(batch.x) == 0
            or steps not in ("T", batch.x.shape[1])
        ):
            raise StudyError(
                f"task: {name}: x of {where} must be [B, T, D] with B > 0, T = {facts.steps} and D"
                f" = {facts.inputs}, got {tuple(batch.x.shape)}"
            )
        if not batch.x.isfinite().all():
            raise StudyError(f"task: {name}: x of {where} holds values that are not finite")
        lengths = batch.lengths
        if lengths is not None and (
            lengths.shape != batch.x.shape[:1]
            or int(lengths.min()) < 1
            or int(lengths.max()) > batch.x.shape[1]
        ):
            got = f"{tuple(lengths.shape)} from {int(lengths.min())} to {int(lengths.max())}"
            raise StudyError(
                f"task: {name}: lengths of {where} must be [B] = {(len(batch.x),)}, from 1 to T ="
                f" {batch.x.shape[1]}, got {got}"
            )


def _batches(task: Task) -> Iterator[tuple[str, Batch]]:
    """Yield the splits, then a training batch.

    The splits come first: drawing from an empty one would be reported as a batch that is too large.
    """
    for part in PARTS:
        yield f"the {part} split", task.split(part)
    yield "a training batch", task.sample(lambda *key: generator(0, "check", *key), 0, 2)


def _check_losses(task: Task, facts: TaskFacts) -> None:
    """Check that loss, step loss and metric have the shapes that training and probes need."""
    validation = task.split("validation")
    count = min(4, len(validation.x))
    x, y = (torch.stack([values[:count]] * 2) for values in (validation.x, validation.y))
    lengths = None if validation.lengths is None else torch.stack([validation.lengths[:count]] * 2)
    batch = Batch(x=x, y=y, lengths=lengths)
    outputs = torch.zeros(
        (2, count, validation.x.shape[1], facts.outputs)
        if facts.every_step
        else (2, count, facts.outputs)
    )
    last = (
        torch.full((count,), validation.x.shape[1] - 1)
        if validation.lengths is None
        else validation.lengths[:count] - 1
    )
    found = {
        "loss": (task.loss(outputs, batch), "[M]"),
        "metric": (task.metric(outputs, batch), "[M, B]"),
    }
    found["step_loss"] = (task.step_loss(outputs, batch, last), "[M, B]")
    for name, (value, axes) in found.items():
        expected = (2,) if axes == "[M]" else (2, count)
        if not isinstance(value, Tensor) or value.shape != expected:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise StudyError(
                f"task: {name} of {type(task).__name__} must be {axes} = {expected}, got {got}"
            )


def is_stream(task: Task, batch: int) -> bool:
    """Whether states are carried from update to update."""
    return task.carries(1, batch)
