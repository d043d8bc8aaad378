"""This machine's cores or GPUs: one warm, single-threaded worker process each.

What fails is isolated (study.workers.isolation).
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

import torch

from study.config.resolve import resolve_device
from study.interfaces import Event, Executor, Group, Point, require
from study.machine.processes import start
from study.machine.provenance import relative
from study.machine.resources import cores
from study.machine.signals import WRITE_STACK
from study.store import CannotStore, Store
from study.training.engine import store_failure
from study.workers.isolation import Attempt, Tries, told_of_death
from study.workers.worker import Place, stack_file, work

LOOK_SECONDS = 1.0  # between two looks at workers that say nothing
STACK_SECONDS = 2.0  # that a worker which hangs has to tell where
MEMBERS = {
    "cpu": 24,
    "cuda": 512,
    # auto: of a group, where memory does not say less; more fill no cache, while a GPU takes about
    # as
    # long for one
}
STARTS = 10  # workers one after the other that die before they begin anything


@dataclass
class Worker:
    process: BaseProcess
    connection: Connection
    number: int
    place: Place
    attempt: Attempt
    versions: Mapping[str, object]  # of its points, when it was given them
    heard: float
    begun: bool = False
    came: int | None = None  # the update that it went on from


class Local(Executor):
    """`workers` processes; auto: one a core this process may use, or one a GPU where `device` is
    one. Groups of `max_members` at most; auto: MEMBERS.

    A group without any progress for `timeout_minutes` (null: never) has failed; `deaths` of workers
    at the same update are the fault of the point that stands alone there; `same_failures` equal
    ones without any result end the study. Workers that are told to leave have `leave_seconds` for
    it.
    """

    def __init__(
        self,
        *,
        workers: Literal["auto"] | int,
        max_members: Literal["auto"] | int,
        device: str,
        timeout_minutes: float | None,
        deaths: int,
        same_failures: int,
        leave_seconds: float,
    ) -> None:
        require(
            workers == "auto" or workers >= 1, "local", "workers", "auto or at least 1", workers
        )
        require(
            max_members == "auto" or max_members >= 1,
            "local",
            "max_members",
            "auto or at least 1",
            max_members,
        )
        require(
            timeout_minutes is None or timeout_minutes > 0,
            "local",
            "timeout_minutes",
            "greater than 0 or null",
            timeout_minutes,
        )
        require(deaths >= 1, "local", "deaths", "at least 1", deaths)
        require(same_failures >= 1, "local", "same_failures", "at least 1", same_failures)
        require(leave_seconds >= 0, "local", "leave_seconds", "at least 0", leave_seconds)
        self.deaths, self.same_failures, self.leave_seconds = deaths, same_failures, leave_seconds
        self.timeout = None if timeout_minutes is None else 60 * timeout_minutes
        kind = resolve_device(device, gpus=None)
        self.workers = (
            workers
            if isinstance(workers, int)
            else torch.cuda.device_count()
            if kind == "cuda"
            else cores()
        )
        self.max_members = max_members if isinstance(max_members, int) else MEMBERS[kind]

    def run(self, groups: Iterable[Group], folder: Path) -> Iterator[Event]:
        with tempfile.TemporaryDirectory(prefix="study-") as scratch:
            running = Running(
                self,
                Tries(groups, deaths=self.deaths, same_failures=self.same_failures),
                folder,
                Path(scratch),
            )
            try:
                yield from running.events()
            finally:
                running.leave()


class Running:
    """One run: its workers and what is still to be tried."""

    def __init__(self, of: Local, tries: Tries, folder: Path, scratch: Path) -> None:
        self.of, self.tries, self.folder, self.scratch = of, tries, folder, scratch
        self.store = Store(folder)
        self.workers: list[Worker] = []
        self.idle: list[Worker] = []
        self.stillborn = 0
        self.looked = time.monotonic()

    def events(self) -> Iterator[Event]:
        while True:
            self.give()
            for attempt, why in self.tries.given_up():
                yield {
                    "event": "given up",
                    "group": attempt.group.name,
                    "ids": _ids(attempt.group.points),
                    "reason": why,
                }
            if not self.workers:
                break
            ready = wait([worker.connection for worker in self.workers], timeout=LOOK_SECONDS)
            self._forgive_standstill()
            for worker in [worker for worker in self.workers if worker.connection in ready]:
                yield from self.hear(worker)
            for worker in [worker for worker in self.workers if self._late(worker)]:
                yield from self.time_out(worker)
        if self.tries.stopped:
            yield {"event": "stopped", "reason": self.tries.stopped}

    def give(self) -> None:
        """A group for every worker that has none, as long as there are groups."""
        while len(self.workers) < self.of.workers and (attempt := self.tries.next()) is not None:
            versions = {point.id: self.store.version(point.id) for point in attempt.group.points}
            number = next(
                number
                for number in range(self.of.workers)
                if all(worker.number != number for worker in self.workers)
            )
            idle = next(
                (
                    worker
                    for worker in self.idle
                    if worker.number == number and worker.process.is_alive()
                ),
                None,
            )
            if idle is None:
                place = Place(self.scratch / f"{number}.place")
                process, connection = start(work, number, str(self.folder), str(self.scratch))
            else:
                self.idle.remove(idle)
                process, connection, place = idle.process, idle.connection, idle.place
            place.write(0)
            self.workers.append(
                Worker(
                    process, connection, number, place, attempt, versions, heard=time.monotonic()
                )
            )
            with contextlib.suppress(
                OSError
            ):  # it has died meanwhile: its closed connection tells so when we wait for it
                connection.send(attempt.group)

    # --- what a worker says -----------------------------------------------------------------------

    def hear(self, worker: Worker) -> Iterator[Event]:
        worker.heard = time.monotonic()
        try:
            event = worker.connection.recv()
        except (EOFError, OSError):
            yield from self.death(worker)
            return
        kind, attempt = event["event"], worker.attempt
        if kind == "begun":
            worker.begun, self.stillborn = True, 0
        elif kind == "progress":
            worker.came = event["update"] if worker.came is None else worker.came
            yield {**event, "group": attempt.group.name, "ids": _ids(attempt.group.points)}
        elif kind == "note":
            yield event
        elif kind == "stored":
            self._free(worker)
            self.tries.stored(attempt)
            yield self._stored(attempt.group.points, attempt)
        elif kind == "left":  # somebody else told it to: it is trained on by the next one
            self.workers.remove(worker)
            yield from self._landed(worker)
            self.tries.again(attempt, self._left(worker))
        elif kind == "unstorable":
            self._free(worker)
            yield from self._landed(worker)
            self.unstorable(event["reason"], attempt, self._left(worker))
        else:
            self._free(worker)
            yield from self.error(worker, event["told"])

    def unstorable(self, reason: str, attempt: Attempt, left: Sequence[Point]) -> None:
        """Nothing more is begun: what is trained could not be kept.

        Points stay missing, with the checkpoints they have.
        """
        self.tries.stopped = self.tries.stopped or reason
        self.tries.again(attempt, left)

    def error(self, worker: Worker, told: Mapping[str, str]) -> Iterator[Event]:
        """An error or a time-out: halves, until one point stands alone."""
        yield from self._landed(worker)
        left, attempt = self._left(worker), worker.attempt
        if len(attempt.group.points) == 1:
            yield from self.failed(attempt, left, told)
        elif left:
            yield _retried(
                attempt,
                f"{told['type']}: {told['message']}",
                "again in two halves" if len(left) > 1 else "again alone",
            )
            self.tries.split(attempt, left)

    def death(self, worker: Worker) -> Iterator[Event]:
        self.workers.remove(worker)
        worker.process.join()
        yield from self._landed(worker)
        left, code = self._left(worker), worker.process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        if not worker.begun:
            self.stillborn += 1
            if self.stillborn >= STARTS * self.of.workers:
                self.tries.stopped = (
                    f"{self.stillborn} worker processes died before they began anything ({how});"
                    " out of memory is the usual cause"
                )
            self.tries.again(worker.attempt, left)
        elif self.tries.died(worker.attempt, left, worker.came or 0, worker.place.read()):
            yield from self.failed(worker.attempt, left, told_of_death(code, how, self.of.deaths))
        elif left:
            yield _retried(
                worker.attempt, f"its worker process died ({how})", "again from where it was"
            )

    def time_out(self, worker: Worker) -> Iterator[Event]:
        """Ask where it hangs, then end it: nothing else ends a step that never does."""
        stack = self._stack(worker)
        worker.process.kill()
        worker.process.join()
        self.workers.remove(worker)
        message = (
            f"no progress for {self.of.timeout or 0:g} s, after {worker.place.read()} updates"
            " (executor.timeout_minutes)"
        )
        yield from self.error(
            worker,
            {"type": "TimeoutError", "message": message, "traceback": relative(stack, self.folder)},
        )

    def failed(
        self, attempt: Attempt, left: Sequence[Point], told: Mapping[str, str]
    ) -> Iterator[Event]:
        """A point alone has failed. One that has a result keeps it."""
        lost = [point for point in left if self.store.status(point.id) in (None, "failed")]
        try:
            store_failure(lost, self.folder, told)
        except CannotStore as error:
            self.unstorable(str(error), attempt, left)
            return
        self.tries.failure(attempt, told, [worker.attempt for worker in self.workers])
        reason = f"{told['type']}: {told['message']}"
        yield {
            "event": "failed",
            "group": attempt.group.name,
            "ids": _ids(attempt.group.points),
            "lost": len(lost),
            "reason": reason,
        }

    # --- helpers ----------------------------------------------------------------------------------

    def _free(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.idle.append(worker)

    def _left(self, worker: Worker) -> list[Point]:
        """Points of its group that have no result of it."""
        return [
            point
            for point in worker.attempt.group.points
            if self.store.version(point.id) == worker.versions[point.id]
        ]

    def _landed(self, worker: Worker) -> Iterator[Event]:
        """Points that were stored before the group ended otherwise."""
        left = set(_ids(self._left(worker)))
        landed = [point for point in worker.attempt.group.points if point.id not in left]
        if landed:
            yield self._stored(landed, worker.attempt)

    def _stored(self, points: Sequence[Point], attempt: Attempt) -> Event:
        return {"event": "stored", "group": attempt.group.name, "ids": _ids(points)}

    def _late(self, worker: Worker) -> bool:
        return (
            self.of.timeout is not None
            and worker.begun
            and time.monotonic() - worker.heard > self.of.timeout
        )

    def _stack(self, worker: Worker) -> str:
        """What a worker is doing, by its own word, if it still has one."""
        with contextlib.suppress(OSError):
            os.kill(worker.process.pid or 0, WRITE_STACK)
            deadline = time.monotonic() + STACK_SECONDS
            while time.monotonic() < deadline:
                time.sleep(0.1)
                if text := stack_file(self.scratch, worker.number).read_text(
                    encoding="utf-8", errors="replace"
                ):
                    return text
        return ""

    def _forgive_standstill(self) -> None:
        """Time in which this process itself stood still (SIGSTOP, a laptop that slept) is no
        silence of its workers.
        """
        now = time.monotonic()
        if now - self.looked > 5 * LOOK_SECONDS:
            for worker in self.workers:
                worker.heard = now
        self.looked = now

    def leave(self) -> None:
        """Workers keep what they are training and end; once more, or too late,
        and they are ended.
        """
        everyone = [*self.workers, *self.idle]
        try:
            for worker in everyone:
                worker.process.terminate()
            deadline = time.monotonic() + self.of.leave_seconds
            while time.monotonic() < deadline and any(
                worker.process.is_alive() for worker in everyone
            ):
                alive = [worker.connection for worker in everyone if worker.process.is_alive()]
                ready = wait(alive, timeout=0.1)
                for connection in [connection for connection in alive if connection in ready]:
                    with contextlib.suppress(EOFError, OSError):
                        connection.recv()
        finally:
            for worker in everyone:
                worker.process.kill()
            for worker in everyone:
                worker.process.join()


def _ids(points: Iterable[Point]) -> list[str]:
    return [point.id for point in points]


def _retried(attempt: Attempt, reason: str, how: str) -> Event:
    return {
        "event": "retried",
        "group": attempt.group.name,
        "ids": _ids(attempt.group.points),
        "reason": reason,
        "how": how,
    }
