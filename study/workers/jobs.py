"""Carries out a job on the machine that trains: python -m study.workers.jobs FILE [PARENT].

A job is a launch without a plan of its own. It takes a lease on each point before training it, so
that jobs and other launches can share a study whatever runs them. It may be carried out again at
any time and then resumes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from study.config.build import build
from study.interfaces import Executor, Group
from study.machine.orphans import die_with
from study.machine.signals import LEAVE
from study.records import StudyError
from study.store import Store
from study.store.leases import Leases, claim
from study.training.checkpoints import Checkpoints
from study.workers.job import FINAL, EventLog, Job, differences, events_path, software

POLL_SECONDS = 1.0  # while waiting for points that others hold
PATIENCE = 3  # how long a job waits for them, in multiples of lease_seconds


class LeaveSignal(KeyboardInterrupt):
    """A signal has asked this process to leave."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextlib.contextmanager
def leaving_on(signals: Sequence[int]) -> Iterator[None]:
    """The first of these signals raises LeaveSignal; further ones are ignored, so that they do not
    interrupt the saving of checkpoints.
    """

    def leave(number: int, frame: Any) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise LeaveSignal(number)

    before = {number: signal.signal(number, leave) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Outcome:
    """How a job ended here. `signal`: that asked it to leave, None if it ran to its end.

    `gained`: something was stored or saved that was not before.
    """

    signal: int | None
    gained: bool
    refused: str | None = None


def carry_out(path: Path, signals: Sequence[int] = LEAVE) -> Outcome:
    """Train what is left of a job's groups. `signals` end it, after training was saved."""
    log = EventLog(events_path(path))
    try:
        job = Job.read(path)
        executor = local_executor(job)
    except (StudyError, OSError, ValueError, KeyError, TypeError) as error:
        log.write({"event": "refused", "reason": f"{error}"})
        return Outcome(None, False, refused=str(error))
    if job.command:
        return run_command(job, log, signals)
    folder, received = Path(job.study), None
    saved = Checkpoints(folder).updates(job.ids)
    run = JobRun(job, executor, log)
    try:
        with leaving_on(signals), Leases(folder, job.lease_seconds) as leases:
            log.write({"event": "began", "owner": leases.owner})
            run.train(leases)
    except LeaveSignal as left:
        received = left.number
    now = Checkpoints(folder).updates(job.ids)
    gained = bool(run.done) or any(update > saved.get(id, 0) for id, update in now.items())
    log.write({"event": "over" if received is None else "left", "gained": gained})
    return Outcome(received, gained)


def run_command(job: Job, log: EventLog, signals: Sequence[int]) -> Outcome:
    """Carry out the command of a job; a signal is passed on to it. Whether it gains anything is
    not known here, and assumed.
    """
    log.write({"event": "began", "owner": ""})
    parent = os.getpid()
    try:
        with leaving_on(signals):
            process = subprocess.Popen(
                [sys.executable, "-m", "study", *job.command], preexec_fn=lambda: die_with(parent)
            )
            status = process.wait()
    except LeaveSignal as left:
        process.terminate()
        process.wait()
        log.write({"event": "left", "gained": True})
        return Outcome(left.number, True)
    log.write({"event": "over" if status == 0 else "failed", "ids": [], "gained": True})
    return Outcome(None, True)


def local_executor(job: Job) -> Executor:
    """The executor that trains here. Raises StudyError if this machine lacks what the job needs."""
    if wrong := differences(software(), job.software):
        raise StudyError(f"this machine has {wrong}")
    if not any((Path(job.study) / name).exists() for name in ("study.json", "search")):
        raise StudyError(f"{job.study}: this machine does not see the study's folder")
    if job.device == "cuda" and not torch.cuda.is_available():
        raise StudyError("device is cuda, and torch finds no CUDA device on this machine")
    os.chdir(job.here)
    sys.path[:0] = [path for path in job.paths if path not in sys.path]
    executor: Executor = build(job.local, "executor.local")
    return executor


class JobRun:
    """The points of a job, leased as they are trained. `done`: those that have ended here."""

    def __init__(self, job: Job, executor: Executor, log: EventLog) -> None:
        self.job, self.executor, self.log = job, executor, log
        self.folder, self.store = Path(job.study), Store(job.study)
        self.done: set[str] = set()

    def train(self, leases: Leases) -> None:
        """Train what is free, then wait a while for points that other launches hold.

        The wait is long enough to notice that their owner has died: their points are then trained
        here.
        """
        deadline = time.monotonic() + PATIENCE * self.job.lease_seconds
        while self.left():
            with contextlib.closing(self.executor.run(self.claimed(leases), self.folder)) as events:  # type: ignore[type-var]
                for event in events:
                    if event["event"] in FINAL:
                        self.done |= set(event["ids"])
                        leases.release(event["ids"])
                    self.log.write(event)
                    if event["event"] == "stopped":
                        return
            while (left := self.left()) and not leases.free(left):
                if time.monotonic() > deadline:
                    return
                time.sleep(POLL_SECONDS)

    def left(self) -> list[str]:
        """Points that nobody has stored since the job was planned."""
        return [
            id
            for id in self.job.ids
            if id not in self.done and self.store.version(id) == self.job.versions.get(id)
        ]

    def claimed(self, leases: Leases) -> Iterator[Group]:
        for group in self.job.groups:
            rest = group.only(point for point in group.points if point.id not in self.done)
            mine = rest and claim(rest, leases, self.store, self.job.versions)
            if mine:
                yield mine


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0 done, 1 left after a signal, 2 refused. Ends with the process PARENT, if
    given.
    """
    if len(arguments) > 1:
        die_with(int(arguments[1]))
    outcome = carry_out(Path(arguments[0]))
    return 2 if outcome.refused else int(outcome.signal is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
