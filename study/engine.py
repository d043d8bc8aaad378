"""Run one group from configurations to stored points: the table of contents."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from study.grouping import build_model
from study.interfaces import Group, Point
from study.postmortem import first_nonfinite
from study.records import StudyError
from study.results import failed_record, point_record
from study.store import Store
from study.training import evaluate, fixed_numerics, prepare, train


def run_group(group: Group, folder: Path, device: str, report: Callable[[int], None]) -> list[str]:
    """Train the points of a group, store them in the study at `folder`, return their ids.

    `report` is called with the number of updates made, at every validation. device: cpu or cuda (cuda:1, …).
    """
    together = build_model(group.points[0].config).whole_blocks()
    parts = [group.points] if together else [(point,) for point in group.points]
    updates = group.points[0].config["updates"]
    for index, part in enumerate(parts):

        def report_part(update: int, before: int = index * updates) -> None:
            report((before + update) // len(parts))

        run_together(part, folder, device, report_part)
    return [point.id for point in group.points]


def run_together(points: Sequence[Point], folder: Path, device: str, report: Callable[[int], None]) -> None:
    """Train points side by side and store them."""
    start = time.time()
    with fixed_numerics():
        training = prepare(points, device)
        train(training, report)
        evaluate(training)
        causes = first_nonfinite(training, len(points))
    seconds = (time.time() - start) / len(points)
    for member in range(len(points)):
        record = point_record(training, member, cause=causes.get(member), start=start, seconds=seconds)
        store = Store(folder)
        differ = store.differs(record) if points[member].config["reprobe"] else None
        if differ:
            raise StudyError(f"point {record.id} trained again has another {differ} than the stored one, which is kept: another machine or other versions?")
        store.write(record)


def store_failure(group: Group, folder: Path, error: BaseException) -> None:
    """Mark every point of a group failed, with the reason and the traceback."""
    for point in group.points:
        Store(folder).write(failed_record(point, error, folder))
