"""An executor of your own: where groups run, and how a failure is isolated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event as Flag

from study.config.setup import set_up
from study.interfaces import Event, Executor, Group, require
from study.machine.provenance import failure
from study.store import CannotStore, Store
from study.training.engine import run_group, store_failure
from study.workers.isolation import Attempt, Tries


class Skeleton(Executor):
    """One group after another, in the command's own process: print and breakpoint() work there.

    The contract (study/interfaces.py): `run` takes groups one at a time, stores their points and
    yields events. A failed group is split until the point that raises stands alone, and the others
    complete. Closing the iterator stops training and keeps checkpoints.
    """

    workers = 1  # read by the plan, as is max_members

    def __init__(self, *, max_members: int, same_failures: int) -> None:
        require(max_members >= 1, "skeleton", "max_members", "at least 1", max_members)
        self.max_members, self.same_failures = max_members, same_failures

    def run(self, groups: Iterable[Group], folder: Path) -> Iterator[Event]:
        tries = Tries(groups, deaths=1, same_failures=self.same_failures)
        with ThreadPoolExecutor(1) as thread:
            while (attempt := tries.next()) is not None:
                yield from self._train(attempt, tries, folder, thread)
        for attempt, why in tries.given_up():
            yield _event("given up", attempt.group, reason=why)
        if tries.stopped:
            yield {"event": "stopped", "reason": tries.stopped}

    def _train(
        self, attempt: Attempt, tries: Tries, folder: Path, thread: ThreadPoolExecutor
    ) -> Iterator[Event]:
        group, store, leave, made = attempt.group, Store(folder), Flag(), [0]
        notes: list[str] = []
        before = {point.id: store.version(point.id) for point in group.points}

        def on_update(update: int) -> bool:
            made[0] = update
            return leave.is_set()

        device = set_up(group.points[0].config).device
        training = thread.submit(run_group, group, folder, device, on_update, notes.append)
        try:
            while wait([training], 0.5).not_done:
                yield _event("progress", group, update=made[0])
        finally:  # closed or interrupted: stop after this update, and keep what there is
            leave.set()
        left = [point for point in group.points if store.version(point.id) == before[point.id]]
        yield from ({"event": "note", "text": text} for text in notes)
        if stored := group.only(point for point in group.points if point not in left):
            yield _event("stored", stored)
        error = training.exception()
        if error is None:
            tries.stored(attempt)
        elif isinstance(error, CannotStore) or not isinstance(error, Exception):
            tries.stopped = str(error)
        elif len(left) > 1:
            tries.split(attempt, left)
            yield _event("retried", group, reason=str(error), how="again in two halves")
        elif left:
            why = failure(error, folder)
            store_failure(left, folder, why)
            tries.failure(attempt, why, running=[])
            yield _event("failed", group, lost=1, reason=f"{why['type']}: {why['message']}")


def _event(kind: str, group: Group, **more: object) -> Event:
    return {"event": kind, "group": group.name, "ids": [one.id for one in group.points], **more}
