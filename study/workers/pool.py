"""The worker processes of one run on this machine: gives them groups, and turns what they send, and
how they end, into events.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from study.interfaces import Event, Group, Point
from study.machine.processes import start
from study.machine.provenance import relative
from study.machine.signals import WRITE_STACK
from study.store import CannotStore, Store
from study.training.engine import store_failure
from study.workers.isolation import Attempt, Tries, worker_died
from study.workers.worker import Place, stack_file, work

POLL_SECONDS = 1.0  # while no worker sends anything
STACK_SECONDS = 2.0  # that a worker which hangs gets to write its stack
STARTS = 10  # deaths in a row before anything began, per worker, after which the run stops


@dataclass(frozen=True)
class Limits:
    """Number of workers, deaths that a single point is blamed for, seconds without progress before
    a group has failed (None: no limit), seconds to save everything when asked to leave.
    """

    workers: int
    deaths: int
    timeout: float | None
    leave_seconds: float


@dataclass
class WorkerHandle:
    """A worker process with the attempt it was given last.

    `versions`: of the attempt's points when it was given. `heard`: time of its last event.
    `resumed_at`: update of its first progress event.
    """

    process: BaseProcess
    connection: Connection
    number: int
    place: Place
    attempt: Attempt
    versions: Mapping[str, object]
    heard: float
    begun: bool = False
    resumed_at: int | None = None


class Pool:
    """Workers, busy and idle, and the attempts that are still to be made."""

    def __init__(self, limits: Limits, tries: Tries, folder: Path, scratch: Path) -> None:
        self.limits, self.tries, self.folder, self.scratch = limits, tries, folder, scratch
        self.store = Store(folder)
        self.busy: list[WorkerHandle] = []
        self.idle: list[WorkerHandle] = []
        self.early_deaths = 0  # in a row, before the worker began anything
        self.polled = time.monotonic()

    def events(self) -> Iterator[Event]:
        while True:
            self._assign()
            for attempt, why in self.tries.given_up():
                yield _event("given up", attempt, reason=why)
            if not self.busy:
                break
            ready = wait([worker.connection for worker in self.busy], timeout=POLL_SECONDS)
            self._excuse_suspension()
            for worker in [worker for worker in self.busy if worker.connection in ready]:
                yield from self._receive(worker)
            for worker in [worker for worker in self.busy if self._is_late(worker)]:
                yield from self._time_out(worker)
        if self.tries.stopped:
            yield {"event": "stopped", "reason": self.tries.stopped}

    # --- giving groups to workers -----------------------------------------------------------------

    def _assign(self) -> None:
        """A group for every worker without one, as long as there are groups."""
        while len(self.busy) < self.limits.workers and (attempt := self.tries.next()) is not None:
            versions = {point.id: self.store.version(point.id) for point in attempt.group.points}
            process, connection, number, place = self._free_worker()
            place.write(0)
            now = time.monotonic()
            self.busy.append(
                WorkerHandle(process, connection, number, place, attempt, versions, heard=now)
            )
            # If it has died meanwhile, its closed connection will show that.
            with contextlib.suppress(OSError):
                connection.send(attempt.group)

    def _free_worker(self) -> tuple[BaseProcess, Connection, int, Place]:
        """An idle process, or a new one."""
        taken = {worker.number for worker in self.busy}
        number = next(number for number in range(self.limits.workers) if number not in taken)
        for worker in self.idle:
            if worker.number == number and worker.process.is_alive():
                self.idle.remove(worker)
                return worker.process, worker.connection, number, worker.place
        place = Place(self.scratch / f"{number}.place")
        process, connection = start(work, number, str(self.folder), str(self.scratch))
        return process, connection, number, place

    # --- what workers send ------------------------------------------------------------------------

    def _receive(self, worker: WorkerHandle) -> Iterator[Event]:
        worker.heard = time.monotonic()
        try:
            event = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._death(worker)
            return
        kind, attempt = event["event"], worker.attempt
        if kind == "begun":
            worker.begun, self.early_deaths = True, 0
        elif kind == "progress":
            if worker.resumed_at is None:
                worker.resumed_at = event["update"]
            yield _event("progress", attempt, update=event["update"])
        elif kind == "rows":
            yield {**event, "group": attempt.group.name, "ids": list(event["rows"])}
        elif kind == "note":
            yield event
        elif kind == "stored":
            self._release(worker)
            self.tries.stored(attempt)
            yield _event("stored", attempt)
        elif kind == "left":  # somebody else asked it to: another worker continues
            self.busy.remove(worker)
            yield from self._landed(worker)
            self.tries.again(attempt, self._left(worker))
        elif kind == "unstorable":
            self._release(worker)
            yield from self._landed(worker)
            self._stop(event["reason"], attempt, self._left(worker))
        else:
            self._release(worker)
            yield from self._error(worker, event["failure"])

    def _stop(self, reason: str, attempt: Attempt, left: Sequence[Point]) -> None:
        """Begin nothing more: results could not be stored. Points stay missing, with their
        checkpoints.
        """
        self.tries.stopped = self.tries.stopped or reason
        self.tries.again(attempt, left)

    # --- failures ---------------------------------------------------------------------------------

    def _error(self, worker: WorkerHandle, failure: Mapping[str, str]) -> Iterator[Event]:
        """After an error or a timeout: train the halves, or mark a single point as failed."""
        yield from self._landed(worker)
        left, attempt = self._left(worker), worker.attempt
        if len(attempt.group.points) == 1:
            yield from self._failed(attempt, left, failure)
        elif left:
            how = "again in two halves" if len(left) > 1 else "again alone"
            yield _event("retried", attempt, reason=_reason(failure), how=how)
            self.tries.split(attempt, left)

    def _death(self, worker: WorkerHandle) -> Iterator[Event]:
        self.busy.remove(worker)
        worker.process.join()
        yield from self._landed(worker)
        left, code = self._left(worker), worker.process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        if not worker.begun:
            self.early_deaths += 1
            if self.early_deaths >= STARTS * self.limits.workers:
                self.tries.stopped = (
                    f"{self.early_deaths} worker processes died before they began anything ({how});"
                    " out of memory is the usual cause"
                )
            self.tries.again(worker.attempt, left)
        elif self.tries.died(worker.attempt, left, worker.resumed_at or 0, worker.place.read()):
            failure = worker_died(code, how, self.limits.deaths)
            yield from self._failed(worker.attempt, left, failure)
        elif left:
            reason, how = f"its worker process died ({how})", "again from its last checkpoint"
            yield _event("retried", worker.attempt, reason=reason, how=how)

    def _time_out(self, worker: WorkerHandle) -> Iterator[Event]:
        """Have a worker that hangs write its stack, then kill it: nothing else ends an endless
        step.
        """
        stack = self._stack(worker)
        worker.process.kill()
        worker.process.join()
        self.busy.remove(worker)
        message = (
            f"no progress for {self.limits.timeout or 0:g} s, after {worker.place.read()} updates"
            " (executor.timeout_minutes)"
        )
        traceback = relative(stack, self.folder)
        failure = {"type": "TimeoutError", "message": message, "traceback": traceback}
        yield from self._error(worker, failure)

    def _failed(
        self, attempt: Attempt, left: Sequence[Point], failure: Mapping[str, str]
    ) -> Iterator[Event]:
        """Mark a single point as failed, unless it has an earlier result: it keeps that."""
        lost = [point for point in left if self.store.status(point.id) in (None, "failed")]
        try:
            store_failure(lost, self.folder, failure)
        except CannotStore as error:
            self._stop(str(error), attempt, left)
            return
        self.tries.failure(attempt, failure, [worker.attempt for worker in self.busy])
        yield _event("failed", attempt, lost=len(lost), reason=_reason(failure))

    # --- a worker's state -------------------------------------------------------------------------

    def _release(self, worker: WorkerHandle) -> None:
        self.busy.remove(worker)
        self.idle.append(worker)

    def _left(self, worker: WorkerHandle) -> list[Point]:
        """Points of its group that it has not stored."""
        return [
            point
            for point in worker.attempt.group.points
            if self.store.version(point.id) == worker.versions[point.id]
        ]

    def _landed(self, worker: WorkerHandle) -> Iterator[Event]:
        """The event of those points that it stored before its group ended in another way."""
        left = set(_ids(self._left(worker)))
        landed = [point for point in worker.attempt.group.points if point.id not in left]
        if landed:
            name = worker.attempt.group.name
            yield {"event": "stored", "group": name, "ids": _ids(landed)}

    def _is_late(self, worker: WorkerHandle) -> bool:
        timeout = self.limits.timeout
        return timeout is not None and worker.begun and time.monotonic() - worker.heard > timeout

    def _stack(self, worker: WorkerHandle) -> str:
        """The stack of a worker, which it writes itself; "" if it does not."""
        with contextlib.suppress(OSError):
            os.kill(worker.process.pid or 0, WRITE_STACK)
            deadline = time.monotonic() + STACK_SECONDS
            while time.monotonic() < deadline:
                time.sleep(0.1)
                path = stack_file(self.scratch, worker.number)
                if text := path.read_text(encoding="utf-8", errors="replace"):
                    return text
        return ""

    def _excuse_suspension(self) -> None:
        """Do not count the time in which this process was suspended (SIGSTOP, a sleeping laptop) as
        silence of its workers.
        """
        now = time.monotonic()
        if now - self.polled > 5 * POLL_SECONDS:
            for worker in self.busy:
                worker.heard = now
        self.polled = now

    # --- the end ----------------------------------------------------------------------------------

    def leave(self) -> None:
        """Let all workers save what they are training. They are killed after `leave_seconds`, or at
        once if this is interrupted.
        """
        workers = [*self.busy, *self.idle]
        try:
            for worker in workers:
                worker.process.terminate()
            deadline = time.monotonic() + self.limits.leave_seconds
            while time.monotonic() < deadline and any(
                worker.process.is_alive() for worker in workers
            ):
                _drain([each.connection for each in workers if each.process.is_alive()])
        finally:
            for worker in workers:
                worker.process.kill()
            for worker in workers:
                worker.process.join()


def _drain(connections: Sequence[Connection]) -> None:
    """Read what workers still send: a full pipe would block them."""
    ready = wait(connections, timeout=0.1)
    for connection in connections:
        if connection in ready:
            with contextlib.suppress(EOFError, OSError):
                connection.recv()


def _event(kind: str, attempt: Attempt, **further: object) -> Event:
    group: Group = attempt.group
    return {"event": kind, "group": group.name, "ids": _ids(group.points), **further}


def _ids(points: Iterable[Point]) -> list[str]:
    return [point.id for point in points]


def _reason(failure: Mapping[str, str]) -> str:
    return f"{failure['type']}: {failure['message']}"
