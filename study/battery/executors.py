"""Checks of executors that train on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from study.battery.shared import Standing
from study.interfaces import Block, Event, Executor, Group, InitFacts
from study.store import Store
from study.training.engine import run_group

NAMES = "progress, rows, stored, failed, given up, retried, note, stopped"


class Jammed(Standing):
    """An initializer that raises, for a point that fails in a group of sound points."""

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        raise RuntimeError("jammed on purpose")


def check_executor(make_executor: Callable[[], Executor], group: Group, folder: Path) -> None:
    """Check that all points are stored and announced, with the bits of a plain run.

    A point that raises must be marked failed, and the others of its group must complete.
    `make_executor()` builds the executor; `group`: a few tiny points; `folder`: a place to write.
    """
    sound, jammed = group.points[:-1], group.points[-1]
    jammed = replace(
        jammed, config={**jammed.config, "initializer": {"_target_": f"{__name__}.Jammed"}}
    )
    executor, name = make_executor(), type(make_executor()).__name__
    for key in ("workers", "max_members"):
        value = getattr(executor, key, None)
        assert isinstance(value, int) and value >= 1, (
            f"{name}: {key} must be a whole number of at least 1 (the plan reads it), got {value!r}"
        )
    plain, tried = Store(folder / "plain"), Store(folder / "tried")
    run_group(replace(group, points=sound), plain.folder, "cpu", lambda update: None)
    events = list(executor.run(iter([replace(group, points=(*sound, jammed))]), tried.folder))
    for event in events:
        assert event.get("event") in NAMES.split(", "), (
            f"{name}: an event must be one of {NAMES}, got {event.get('event')!r}"
        )
    for point in sound:
        assert tried.status(point.id) == "done", (
            f"{name}: a sound point is {tried.status(point.id) or 'missing'} because another point"
            " of its group raised"
        )
        one, other = (store.result(point.id)["row"] for store in (plain, tried))
        assert one["score"] == other["score"] and one["train_score"] == other["train_score"], (
            f"{name}: the scores of a point differ from those of run_group alone"
        )
    assert tried.status(jammed.id) == "failed", (
        f"{name}: a point that raises must be marked failed, got {tried.status(jammed.id)}"
    )
    for kind, points in (("stored", sound), ("failed", (jammed,))):
        missing = {point.id for point in points} - _ids(events, kind)
        assert not missing, f"{name}: {len(missing)} points are {kind} without an event"


def _ids(events: list[Event], kind: str) -> set[str]:
    return {id for event in events if event["event"] == kind for id in event["ids"]}
