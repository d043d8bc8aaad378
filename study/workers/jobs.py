"""A job: groups for some machine, in a file of the study's folder, and its messages in another.

outputs/NAME/jobs/BATCH/N.json.gz   what job N trains, and what the machine must have
outputs/NAME/jobs/BATCH/N.events    its messages, one line of JSON each

A job is a launch that plans nothing. It takes a lease on each point before training it, so jobs and
other launches can share a study, whatever runs them; it may be run again at any time and resumes.
`python -m study.workers.jobs FILE` carries one out.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from study.config.build import build
from study.interfaces import Event, Executor, Group, Point
from study.machine.orphans import die_with
from study.machine.provenance import code
from study.machine.signals import LEAVE
from study.records import StudyError
from study.store import Store
from study.store.atomic import write_whole
from study.store.leases import Leases, claim
from study.training.checkpoints import Checkpoints, sources

FOLDER, ENDING, EVENTS = "jobs", ".json.gz", ".events"
FINAL = ("stored", "failed", "given up")  # events after which a job is done with points
PROGRESS_SECONDS = 5.0  # between two signs of progress of one group: a shared folder is slow
LOOK_SECONDS = 1.0
# times the seconds after which an owner is lost: as long as a job waits for points that another
# holds
PATIENCE = 3


@dataclass(frozen=True)
class Job:
    """What a machine needs to know.

    `versions`: of stored points when this was planned; `software`: what it must have.
    """

    study: str
    here: str  # where relative paths of pieces begin
    paths: Sequence[str]  # folders of the user's own pieces
    local: Mapping[str, Any]  # node of the executor that trains there
    device: str
    lease_seconds: float
    software: Mapping[str, str]
    versions: Mapping[str, Any]
    groups: Sequence[Group]
    command: Sequence[
        str
        # instead of groups: what `python -m study` is called with, as a search is that joins others
    ] = ()

    @property
    def ids(self) -> list[str]:
        return [point.id for group in self.groups for point in group.points]

    def write(self, path: Path) -> None:
        text = json.dumps(asdict(self), allow_nan=False).encode()

        def write(partial: Path) -> None:
            partial.touch(
                mode=0o600
            )  # the command of a search may name a database with its password
            partial.write_bytes(gzip.compress(text, 5))

        write_whole(path, write)

    @classmethod
    def read(cls, path: Path) -> Job:
        told = json.loads(gzip.decompress(path.read_bytes()))
        groups = [
            Group(group["name"], tuple(Point(**point) for point in group["points"]), group["cost"])
            for group in told.pop("groups")
        ]
        versions = {
            id: None if version is None else tuple(version)
            for id, version in told.pop("versions").items()
        }
        return cls(**{**told, "command": tuple(told["command"])}, groups=groups, versions=versions)


def software() -> dict[str, str]:
    """What must be the same on two machines for a point's numbers to be: versions, and this
    package's code.
    """
    return {**code()["versions"], "code of study/": sources(())}


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """In words what another machine has that differs from here; "" where nothing does."""
    return ", ".join(
        f"{name} {there.get(name, 'missing')} (here {version})"
        for name, version in here.items()
        if there.get(name) != version
    )


# --- on the machine that trains -------------------------------------------------------------------


class Told(KeyboardInterrupt):
    """This process was told to leave, by a signal."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextlib.contextmanager
def leaving_on(numbers: Sequence[int]) -> Iterator[None]:
    """These signals raise Told, once: what is kept then must not be interrupted."""

    def leave(number: int, frame: Any) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Told(number)

    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Voice:
    """The file of events. Progress is thinned out; nothing else is held back."""

    def __init__(self, path: Path) -> None:
        self.path, self.said = path, dict[str, float]()

    def say(self, event: Event) -> None:
        if event["event"] == "progress":
            now, group = time.monotonic(), event.get("group", "")
            if now - self.said.get(group, -PROGRESS_SECONDS) < PROGRESS_SECONDS:
                return
            self.said[group] = now
        with (
            contextlib.suppress(OSError),
            self.path.open("a", encoding="utf-8") as file,
        ):  # what counts is in the store
            file.write(json.dumps(event) + "\n")


@dataclass(frozen=True)
class Ended:
    """How a job ended here: `told` is the signal that ended it, None if it is over; `gained`:
    something was stored or kept that was not before.
    """

    told: int | None
    gained: bool
    refused: str | None = None


def carry_out(path: Path, signals: Sequence[int] = LEAVE) -> Ended:
    """Train what is left of a job's groups.

    `signals` end it, after keeping what is being trained.
    """
    voice = Voice(path.with_name(path.name.removesuffix(ENDING) + EVENTS))
    try:
        job = Job.read(path)
        executor = prepare(job)
    except (StudyError, OSError, ValueError, KeyError, TypeError) as error:
        voice.say({"event": "refused", "reason": f"{error}"})
        return Ended(None, False, refused=str(error))
    folder, told = Path(job.study), None
    if job.command:
        return call(job, voice, signals)
    kept = Checkpoints(folder).updates(job.ids)
    work = Work(job, executor, voice)
    try:
        with leaving_on(signals), Leases(folder, job.lease_seconds) as leases:
            voice.say({"event": "began", "owner": leases.owner})
            work.train(leases)
    except Told as error:
        told = error.number
    now = Checkpoints(folder).updates(job.ids)
    gained = bool(work.done) or any(update > kept.get(id, 0) for id, update in now.items())
    voice.say({"event": "over" if told is None else "left", "gained": gained})
    return Ended(told, gained)


def call(job: Job, voice: Voice, signals: Sequence[int]) -> Ended:
    """Carry out the command of a job; told to leave, it is told so too.

    What it gains is its own affair.
    """
    voice.say({"event": "began", "owner": ""})
    parent = os.getpid()
    try:
        with leaving_on(signals):
            process = subprocess.Popen(
                [sys.executable, "-m", "study", *job.command], preexec_fn=lambda: die_with(parent)
            )
            status = process.wait()
    except Told as error:
        process.terminate()
        process.wait()
        voice.say({"event": "left", "gained": True})
        return Ended(error.number, True)
    voice.say({"event": "over" if status == 0 else "failed", "ids": [], "gained": True})
    return Ended(None, True)


def prepare(job: Job) -> Executor:
    """The executor that trains here.

    Raises StudyError where this machine is not what was planned with.
    """
    if wrong := differences(software(), job.software):
        raise StudyError(f"this machine has {wrong}")
    if not any((Path(job.study) / name).exists() for name in ("study.json", "search")):
        raise StudyError(f"{job.study}: no study's folder is seen here")
    if job.device == "cuda" and not torch.cuda.is_available():
        raise StudyError("torch sees no CUDA device here, and the points are to be trained on one")
    os.chdir(job.here)
    sys.path[:0] = [path for path in job.paths if path not in sys.path]
    executor: Executor = build(job.local, "executor.local")
    return executor


class Work:
    """The points of a job, claimed as they are trained."""

    def __init__(self, job: Job, executor: Executor, voice: Voice) -> None:
        self.job, self.executor, self.voice = job, executor, voice
        self.folder, self.store = Path(job.study), Store(job.study)
        self.done: set[str] = set()

    def train(self, leases: Leases) -> None:
        """In rounds, while points are left that another holds who may be lost; no longer than that
        takes to be known.
        """
        until = time.monotonic() + PATIENCE * self.job.lease_seconds
        while self.left():
            with contextlib.closing(self.executor.run(self.claimed(leases), self.folder)) as events:  # type: ignore[type-var]
                for event in events:
                    if event["event"] in FINAL:
                        self.done |= set(event["ids"])
                        leases.release(event["ids"])
                    self.voice.say(event)
                    if event["event"] == "stopped":
                        return
            while (left := self.left()) and not self.free(left, leases):
                if time.monotonic() > until:
                    return
                time.sleep(LOOK_SECONDS)

    def left(self) -> list[str]:
        """Points that nobody has stored since this was planned."""
        return [
            id
            for id in self.job.ids
            if id not in self.done and self.store.version(id) == self.job.versions.get(id)
        ]

    def free(self, ids: Sequence[str], leases: Leases) -> bool:
        holders = leases.holders()
        return any((holder := holders.get(id)) is None or leases.lost(holder) for id in ids)

    def claimed(self, leases: Leases) -> Iterator[Group]:
        for group in self.job.groups:
            rest = group.only(point for point in group.points if point.id not in self.done)
            mine = rest and claim(rest, leases, self.store, self.job.versions)
            if mine:
                yield mine


def main(arguments: Sequence[str]) -> int:
    """python -m study.workers.jobs FILE [PARENT]: exit status 0 over, 1 told to leave, 2 refused.

    Ends with the process PARENT, if given.
    """
    if len(arguments) > 1:
        die_with(int(arguments[1]))
    ended = carry_out(Path(arguments[0]))
    return 2 if ended.refused else int(ended.told is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
