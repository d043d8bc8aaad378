"""What executors on other machines have in common: groups packed into jobs, jobs followed by what
they say and by what is stored.

An executor of this kind says how jobs are queued, what becomes of them and, where they outlive the
command, how they are found again.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import math
import secrets
import shutil
import sys
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from study.config.build import build
from study.config.paths import config_dirs
from study.config.resolve import resolve_device
from study.interfaces import Event, Executor, Group, require
from study.store import Store
from study.store.atomic import write_whole
from study.store.leases import Leases
from study.training.groups import duration
from study.workers.jobs import ENDING, EVENTS, FINAL, FOLDER, Job, software

BATCH = "batch.json"
LAST_WORDS = 300  # characters of a job's log that are told


@dataclass(frozen=True)
class Fate:
    """How a job ended, in its executor's words; `final`: somebody wanted it so, and it is not tried
    again.
    """

    why: str
    final: bool = False


@dataclass
class Queued:
    """A job that was queued: its name there, its file, and what is still to come of it."""

    name: str
    path: Path
    ids: set[str]
    versions: Mapping[str, Any]
    tries: int = 0  # ends without any gain, one after the other
    read: int = 0  # bytes of its events
    over: bool = False
    gained: bool = False
    refused: str | None = None
    stopped: str | None = None
    owner: str = ""  # of its leases
    groups: Sequence[Group] = ()

    @property
    def events(self) -> Path:
        return self.path.with_name(self.path.name.removesuffix(ENDING) + EVENTS)

    def hear(self) -> list[Event]:
        """What it has said since; a line that is not whole yet is left for later."""
        try:
            with self.events.open("rb") as file:
                file.seek(self.read)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self.read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


class Remote(Executor):
    """Jobs of `cpus` cores and `gpus` GPUs, each at least `target_minutes` of work where there is
    so much; in each, `local` trains.

    A job that ends without being over is queued again, up to `tries` times without any gain between
    them. `poll_seconds` between two looks. A search is at most `search_jobs` jobs.
    """

    claims = False

    def __init__(
        self,
        *,
        local: Mapping[str, Any],
        device: str,
        cpus: int,
        gpus: int,
        memory_gb: float | None,
        target_minutes: float,
        poll_seconds: float,
        ask_seconds: float,
        tries: int,
        search_jobs: int,
        lease_seconds: float,
    ) -> None:
        name = type(self).__name__.lower()
        require(cpus >= 1, name, "cpus", "at least 1", cpus)
        require(gpus >= 0, name, "gpus", "at least 0", gpus)
        require(
            memory_gb is None or memory_gb > 0,
            name,
            "memory_gb",
            "greater than 0 or null",
            memory_gb,
        )
        require(target_minutes > 0, name, "target_minutes", "greater than 0", target_minutes)
        require(poll_seconds > 0, name, "poll_seconds", "greater than 0", poll_seconds)
        require(ask_seconds > 0, name, "ask_seconds", "greater than 0", ask_seconds)
        require(tries >= 1, name, "tries", "at least 1", tries)
        require(search_jobs >= 1, name, "search_jobs", "at least 1", search_jobs)
        self.cpus, self.gpus, self.memory_gb, self.lease_seconds = (
            cpus,
            gpus,
            memory_gb,
            lease_seconds,
        )
        self.target, self.poll_seconds, self.ask_seconds, self.tries = (
            60 * target_minutes,
            poll_seconds,
            ask_seconds,
            tries,
        )
        self.search_jobs = search_jobs
        self.device = resolve_device(device, gpus)
        workers = (
            (gpus if self.device == "cuda" else cpus)
            if local.get("workers") == "auto"
            else local.get("workers")
        )
        self.local = {**local, "workers": workers, "device": self.device}
        inside = build(
            {**self.local, "device": "cpu"}, "executor.local"
        )  # what is wrong with its settings is told here
        self.workers, self.max_members = inside.workers, inside.max_members

    # --- what an executor of this kind says -------------------------------------------------------

    @abstractmethod
    def queue(self, folder: Path, paths: Sequence[Path]) -> list[str]:
        """Queue these jobs' files; their names, in order. Logs may go to `folder`."""

    @abstractmethod
    def fates(self, names: Iterable[str]) -> Mapping[str, Fate]:
        """Of these jobs, those that have ended."""

    @abstractmethod
    def cancel(self, names: Sequence[str]) -> None: ...

    @abstractmethod
    def told(self, names: Sequence[str]) -> str:
        """For the user: what was queued, and how to end it."""

    def alive(self, names: Sequence[str]) -> set[str]:
        """Of jobs that an earlier command queued, those that still wait or run."""
        return set()

    def log(self, folder: Path, name: str) -> str:
        """What a job has written to its log, if there is one."""
        return ""

    def last_words(self, one: Queued) -> str:
        """The end of a job's log, to be told behind what became of it; "" if it left none."""
        words = self.log(one.path.parent, one.name)[-LAST_WORDS:].strip()
        return f"; its last words: {words}" if words else ""

    def leave(self, running: Sequence[Queued]) -> None:
        """The command ends while jobs run."""

    # --- sizing -----------------------------------------------------------------------------------

    def pack(self, groups: Sequence[Group]) -> list[list[Group]]:
        """Groups for each job, longest job first: all about equally long, about `target` seconds
        where there is so much to do.
        """
        parts = [part for group in groups for part in halved(group, self.target)]
        total = sum(part.cost for part in parts)
        count = max(1, min(math.ceil(total / (self.target * self.workers)), len(parts)))
        jobs: list[list[Group]] = [[] for _ in range(count)]
        loads = [(0.0, number) for number in range(count)]
        for part in sorted(parts, key=lambda part: -part.cost):
            load, number = heapq.heappop(loads)
            jobs[number].append(part)
            heapq.heappush(loads, (load + part.cost, number))
        return sorted(
            (job for job in jobs if job), key=lambda job: -sum(group.cost for group in job)
        )

    def seconds(self, job: Sequence[Group]) -> float:
        """That a job is expected to take: of its work, and of its longest group."""
        return max(
            sum(group.cost for group in job) / self.workers, max(group.cost for group in job)
        )

    def each(self) -> str:
        """A job's size in words."""
        cores = f"{self.cpus} core{'s' if self.cpus > 1 else ''}"
        return cores + (f" and {self.gpus} GPU{'s' if self.gpus > 1 else ''}" if self.gpus else "")

    def expected(self, seconds: Sequence[float]) -> str:
        """In words, of jobs of these lengths."""
        each = (
            duration(max(seconds))
            if min(seconds) > 0.9 * max(seconds)
            else f"{duration(min(seconds))} to {duration(max(seconds))}"
        )
        return f"expected: {each} a job, {sum(seconds) * self.cpus / 3600:.2g} core hours in all"

    # --- running ----------------------------------------------------------------------------------

    def run(self, groups: Iterable[Group], folder: Path) -> Iterator[Event]:
        folder = folder.resolve()
        wanted = list(groups)
        ids = {point.id for group in wanted for point in group.points}
        running = self.found(folder, ids)
        if running:
            yield {
                "event": "note",
                "text": (
                    "jobs of an earlier command go on:"
                    f" {', '.join(sorted(one.name for one in running))}"
                ),
            }
        leases = Leases(folder, self.lease_seconds)  # none of its own: it is asked what others hold
        elsewhere = leases.busy().union(*(one.ids for one in running))
        rest = [part for group in wanted if (part := without(group, elsewhere)) is not None]
        try:
            if rest:
                running += self.submit(self.pack(rest), folder)
                yield {"event": "note", "text": self.told([one.name for one in running])}
            yield from self.follow(running, folder, ids, leases)
        finally:
            if running:
                self.leave(running)
        self.tidy(folder)

    def submit(
        self,
        jobs: Sequence[Sequence[Group]],
        folder: Path,
        tries: int = 0,
        command: Sequence[str] = (),
    ) -> list[Queued]:
        """Queue jobs, each kept in a file that it can be carried out from at any time; of groups,
        or all of one command.
        """
        batch = folder / FOLDER / secrets.token_hex(4)
        batch.mkdir(parents=True)
        store, needs = Store(folder), software()
        paths = [str(Path(path).resolve()) for path in config_dirs(sys.argv[1:])]
        made = []
        for number, job in enumerate(jobs):
            versions = {
                point.id: store.version(point.id) for group in job for point in group.points
            }
            written = Job(
                str(folder),
                str(Path.cwd()),
                paths,
                self.local,
                self.device,
                self.lease_seconds,
                needs,
                versions,
                job,
                command,
            )
            written.write(batch / f"{number}{ENDING}")
            made.append(
                Queued("", batch / f"{number}{ENDING}", set(versions), versions, tries, groups=job)
            )
        names = self.queue(batch, [one.path for one in made])
        for one, name in zip(made, names, strict=True):
            one.name = name
        text = json.dumps({"executor": type(self).__name__, "jobs": names})
        write_whole(batch / BATCH, lambda path: path.write_text(text))
        return made

    def found(self, folder: Path, ids: set[str], command: Sequence[str] = ()) -> list[Queued]:
        """Jobs that an earlier command queued, that still live and have any of these points, or are
        of this command.
        """
        batches = {}
        for path in (folder / FOLDER).glob(f"*/{BATCH}"):
            with contextlib.suppress(OSError, ValueError):
                told = json.loads(path.read_text())
                if told["executor"] == type(self).__name__:
                    batches[path.parent] = told["jobs"]
        alive = self.alive([name for names in batches.values() for name in names])
        running = []
        for batch, names in batches.items():
            for number, name in enumerate(names):
                if name in alive:
                    job = Job.read(batch / f"{number}{ENDING}")
                    mine = ids & set(job.ids)
                    if mine or (command and list(job.command) == list(command)):
                        running.append(
                            Queued(
                                name,
                                batch / f"{number}{ENDING}",
                                mine,
                                job.versions,
                                groups=job.groups,
                            )
                        )
        return running

    def follow(
        self, running: list[Queued], folder: Path, ids: set[str], leases: Leases
    ) -> Iterator[Event]:
        """Events of jobs until all have ended."""
        store, doubtful = Store(folder), set[str]()
        while running:
            fates = self.fates([one.name for one in running])
            for one in list(running):
                yield from self.heard(one, ids)
                if one.refused:
                    self.cancel([each.name for each in running])
                    running.clear()
                    yield {
                        "event": "stopped",
                        "reason": f"job {one.name} was refused where it ran: {one.refused}",
                    }
                    return
                fate = fates.get(one.name)
                if (
                    fate is not None
                    and not one.over
                    and not fate.final
                    and one.name not in doubtful
                ):
                    doubtful.add(
                        one.name
                        # what it has written may not have come here yet, or it is just being queued
                        # again
                    )
                elif fate is not None or (one.over and not one.ids):
                    running.remove(one)
                    yield from self.ended(one, fate, store, folder, running, leases)
                elif fate is None:
                    doubtful.discard(one.name)
            if running:
                time.sleep(self.poll_seconds)

    def heard(self, one: Queued, ids: set[str]) -> Iterator[Event]:
        for event in one.hear():
            kind = event["event"]
            if kind == "began":
                one.over, one.owner = False, event["owner"]
            elif kind in ("over", "left"):
                one.over, one.gained = kind == "over", one.gained or event["gained"]
            elif kind == "stopped":  # this job's points; others may be better off
                one.stopped = event["reason"]
            elif kind == "refused":
                one.refused = event["reason"]
            elif "ids" in event:
                mine = [id for id in event["ids"] if id in (one.ids if kind in FINAL else ids)]
                if kind in FINAL:
                    one.ids -= set(mine)
                    one.gained = True
                if mine:
                    yield {**event, "ids": mine}
            else:
                yield event

    def ended(
        self,
        one: Queued,
        fate: Fate | None,
        store: Store,
        folder: Path,
        running: list[Queued],
        leases: Leases,
    ) -> Iterator[Event]:
        """A job is gone. What it stored without a word is told; what it has left is queued again,
        or given up.
        """
        landed = {id for id in one.ids if store.version(id) != one.versions.get(id)}
        if landed:
            yield {"event": "stored", "group": one.name, "ids": sorted(landed)}
        held = {
            id
            for id, owner in leases.holders().items()
            if owner != one.owner and not leases.lost(owner)
        }
        left = one.ids - landed - held  # what others hold is theirs to end, or to lose
        if not left:
            return
        why = one.stopped or (fate.why if fate is not None else "it ended without them")
        tries = 1 if one.gained or landed else one.tries + 1
        reason = None
        if one.stopped or (fate is not None and fate.final):
            reason = why if one.stopped else f"job {one.name}: {why}"
        elif tries >= self.tries:
            reason = (
                f"job {one.name}: {why}, {tries} times without any progress{self.last_words(one)}"
            )
        if reason is not None:
            yield {"event": "given up", "group": one.name, "ids": sorted(left), "reason": reason}
            return
        rest = [
            part
            for group in one.groups
            if (part := group.only(point for point in group.points if point.id in left)) is not None
        ]
        running += self.submit([rest], folder, tries)
        how = f"queued again as job {running[-1].name}"
        yield {
            "event": "retried",
            "group": one.name,
            "ids": sorted(left),
            "reason": f"job {one.name}: {why}",
            "how": how,
        }

    def tidy(self, folder: Path) -> None:
        """Remove the files of jobs whose points are all stored; logs of the others may tell why."""
        there = set(Store(folder).ids())
        for batch in (folder / FOLDER).glob("*/"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                jobs = [Job.read(path) for path in batch.glob(f"*{ENDING}")]
                if all(set(job.ids) <= there and not job.command for job in jobs):
                    shutil.rmtree(batch, ignore_errors=True)
        with contextlib.suppress(OSError):
            (folder / FOLDER).rmdir()


def halved(group: Group, seconds: float) -> list[Group]:
    """A group in equal parts of which none takes longer, down to single points: they may run side
    by side.
    """
    most = (
        max(1, math.floor(seconds * len(group.points) / group.cost))
        if group.cost > 0
        else len(group.points)
    )
    count = math.ceil(len(group.points) / most)
    bounds = [round(part * len(group.points) / count) for part in range(count + 1)]
    parts = [
        part
        for start, end in itertools.pairwise(bounds)
        if (part := group.only(group.points[start:end])) is not None
    ]
    return (
        [replace(part, name=f"{group.name}.{number}") for number, part in enumerate(parts, 1)]
        if count > 1
        else parts
    )


def without(group: Group, ids: set[str]) -> Group | None:
    """A group without these points; None if none is left."""
    return group.only(point for point in group.points if point.id not in ids)
