"""Checks of models and trainers of the user's own, on points that are trained for real."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from study.interfaces import Group, Point
from study.store import Store
from study.training.engine import run_group
from study.training.loop import Stopped

# Columns that say how long it took and how often it was resumed, not what came out.
TIMES = ("seconds",)


def check_model(points: Sequence[Point]) -> None:
    """Check that a model's numbers depend on the point alone.

    `points`: at least three of one structure, with other seeds. A member is trained in company,
    alone in another process, and with an interruption, and must come out bit for bit the same;
    other seeds must give other weights.
    """
    _check(points, "model")


def check_trainer(points: Sequence[Point]) -> None:
    """Check that a trainer finishes its points, gives the same numbers again, and resumes.

    `points` as for check_model. A trainer without checkpoints starts again after an interruption.
    """
    _check(points, "trainer")


def _check(points: Sequence[Point], kind: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folders = {name: Path(scratch) / name for name in ("together", "alone", "interrupted")}
        together = _run(points, folders["together"])
        one = points[1]
        alone = _run_elsewhere(one, folders["alone"])
        _same(together, alone, one, f"{kind}: alone in another process, the numbers of a point are")
        interrupted = _interrupted(one, folders["interrupted"])
        _same(together, interrupted, one, f"{kind}: interrupted and resumed, those of a point are")
        weights = [together.weights(point.id) for point in points if together.has_weights(point.id)]
        if weights and all(_equal(weights[0], other) for other in weights[1:]):
            raise AssertionError(
                f"{kind}: other seeds give the same weights; draw with the point's seed"
            )


def _run(points: Sequence[Point], folder: Path) -> Store:
    run_group(Group("check", tuple(points), 1.0), folder, "cpu", lambda update: None)
    return Store(folder)


def _run_elsewhere(point: Point, folder: Path) -> Store:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_run, args=([point], folder))
    process.start()
    process.join()
    assert process.exitcode == 0, f"a process that trains one point ended with {process.exitcode}"
    return Store(folder)


def _interrupted(point: Point, folder: Path) -> Store:
    """Stop at the middle, then go on."""
    try:
        run_group(
            Group("check", (point,), 1.0), folder, "cpu", lambda update: 2 * update >= point.updates
        )
    except Stopped:
        return _run([point], folder)
    return Store(folder)


def _same(one: Store, other: Store, point: Point, what: str) -> None:
    ours, theirs = one.result(point.id)["row"], other.result(point.id)["row"]
    differ = [
        name
        for name in ours
        if name not in TIMES
        and not (ours[name] == theirs.get(name) or _both_nan(ours[name], theirs.get(name)))
    ]
    stored = not differ and one.has_weights(point.id)
    if stored and not _equal(one.weights(point.id), other.weights(point.id)):
        differ = ["weights"]
    assert not differ, f"{what} others: {', '.join(differ)}"


def _both_nan(one: object, other: object) -> bool:
    return isinstance(one, float) and isinstance(other, float) and one != one and other != other


def _equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name], equal_nan=True) for name in one
    )
