"""Executors on other machines: groups are packed into jobs, and jobs are followed by their events
and by what they store.

A subclass says how jobs are queued, how they ended and, if they outlive the command, how they are
found again.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sys
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from study.config.build import build
from study.config.paths import config_dirs
from study.config.resolve import resolve_device
from study.interfaces import Event, Executor, Group, duration, require
from study.store import Store
from study.store.leases import Leases
from study.workers.job import ENDING, FINAL, FOLDER, Job, software
from study.workers.packing import pack, without
from study.workers.queued import JobEnd, QueuedJob, batches, write_batch

LOG_TAIL = 300  # characters of a job's log that a message quotes


class RemoteExecutor(Executor):
    """Jobs of `cpus` cores and `gpus` GPUs, each with at least `target_minutes` of work if there is
    enough; `local` trains inside each.

    A job that ends before its work is done is queued again, until it has ended `tries` times in a
    row without any gain. Jobs are checked every `poll_seconds`. A search uses at most `search_jobs`
    jobs.
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
        positive = "greater than 0"
        require(cpus >= 1, name, "cpus", "at least 1", cpus)
        require(gpus >= 0, name, "gpus", "at least 0", gpus)
        enough = memory_gb is None or memory_gb > 0
        require(enough, name, "memory_gb", f"{positive} or null", memory_gb)
        require(target_minutes > 0, name, "target_minutes", positive, target_minutes)
        require(poll_seconds > 0, name, "poll_seconds", positive, poll_seconds)
        require(ask_seconds > 0, name, "ask_seconds", positive, ask_seconds)
        require(tries >= 1, name, "tries", "at least 1", tries)
        require(search_jobs >= 1, name, "search_jobs", "at least 1", search_jobs)
        self.cpus, self.gpus, self.memory_gb = cpus, gpus, memory_gb
        self.target, self.poll_seconds = 60 * target_minutes, poll_seconds
        self.ask_seconds, self.lease_seconds = ask_seconds, lease_seconds
        self.tries, self.search_jobs = tries, search_jobs
        self.device = resolve_device(device, gpus)
        workers = local.get("workers")
        if workers == "auto":
            workers = gpus if self.device == "cuda" else cpus
        self.local = {**local, "workers": workers, "device": self.device}
        # Built here too, so that wrong settings are reported before anything is queued.
        inside = build({**self.local, "device": "cpu"}, "executor.local")
        self.workers, self.max_members = inside.workers, inside.max_members

    # --- what a subclass defines ------------------------------------------------------------------

    @abstractmethod
    def queue(self, folder: Path, paths: Sequence[Path]) -> list[str]:
        """Queue these jobs' files and return their names, in order. Logs may go to `folder`."""

    @abstractmethod
    def job_ends(self, names: Iterable[str]) -> Mapping[str, JobEnd]:
        """{job: how it ended}, for the jobs that have ended."""

    @abstractmethod
    def cancel(self, names: Sequence[str]) -> None: ...

    @abstractmethod
    def queued_message(self, names: Sequence[str]) -> str:
        """For the user: what was queued, and how to end it."""

    def alive(self, names: Sequence[str]) -> set[str]:
        """Those of an earlier command's jobs that still wait or run."""
        return set()

    def log(self, folder: Path, name: str) -> str:
        """The text of a job's log, if there is one."""
        return ""

    def leave(self, running: Sequence[QueuedJob]) -> None:
        """The command ends while these jobs run."""

    # --- messages ---------------------------------------------------------------------------------

    def log_tail(self, job: QueuedJob) -> str:
        """The end of a job's log, to be appended to a message; "" if it has none."""
        text = self.log(job.path.parent, job.name)[-LOG_TAIL:].strip()
        return f"; its log ends with: {text}" if text else ""

    def pack(self, groups: Sequence[Group]) -> list[list[Group]]:
        """The groups of each job, the longest job first."""
        return pack(groups, self.target, self.workers)

    def seconds(self, job: Sequence[Group]) -> float:
        """Expected duration of a job: all its work shared by its workers, or its longest group."""
        return max(
            sum(group.cost for group in job) / self.workers, max(group.cost for group in job)
        )

    def job_size(self) -> str:
        """A job's cores and GPUs in words."""
        cores = f"{self.cpus} core{'s' if self.cpus > 1 else ''}"
        return cores + (f" and {self.gpus} GPU{'s' if self.gpus > 1 else ''}" if self.gpus else "")

    def expected_time(self, seconds: Sequence[float]) -> str:
        """The duration of jobs of these lengths in words."""
        low, high = min(seconds), max(seconds)
        each = duration(high) if low > 0.9 * high else f"{duration(low)} to {duration(high)}"
        hours = sum(seconds) * self.cpus / 3600
        return f"expected: {each} per job, {hours:.2g} core hours in all"

    # --- running ----------------------------------------------------------------------------------

    def run(self, groups: Iterable[Group], folder: Path) -> Iterator[Event]:
        folder = folder.resolve()
        groups = list(groups)
        ids = {point.id for group in groups for point in group.points}
        running = self.find_running(folder, ids)
        if running:
            names = ", ".join(sorted(job.name for job in running))
            yield {"event": "note", "text": f"jobs of an earlier command are still there: {names}"}
        leases = Leases(folder, self.lease_seconds)  # takes none, only shows what others hold
        busy = leases.busy().union(*(job.ids for job in running))
        rest = [part for group in groups if (part := without(group, busy)) is not None]
        try:
            if rest:
                running += self.submit(self.pack(rest), folder)
                text = self.queued_message([job.name for job in running])
                yield {"event": "note", "text": text}
            yield from self.follow(running, folder, ids, leases)
        finally:
            if running:
                self.leave(running)
        _remove_finished(folder)

    def submit(
        self,
        jobs: Sequence[Sequence[Group]],
        folder: Path,
        tries: int = 0,
        command: Sequence[str] = (),
    ) -> list[QueuedJob]:
        """Queue jobs, of groups or all of one command. Each has a file from which it can be carried
        out at any time.
        """
        batch = folder / FOLDER / secrets.token_hex(4)
        batch.mkdir(parents=True)
        store, needed = Store(folder), software()
        paths = [str(Path(path).resolve()) for path in config_dirs(sys.argv[1:])]
        queued = []
        for number, groups in enumerate(jobs):
            versions = {
                point.id: store.version(point.id) for group in groups for point in group.points
            }
            job = Job(
                study=str(folder),
                here=str(Path.cwd()),
                paths=paths,
                local=self.local,
                device=self.device,
                lease_seconds=self.lease_seconds,
                software=needed,
                versions=versions,
                groups=groups,
                command=command,
            )
            path = batch / f"{number}{ENDING}"
            job.write(path)
            queued.append(QueuedJob("", path, set(versions), versions, tries, groups=groups))
        names = self.queue(batch, [each.path for each in queued])
        for each, name in zip(queued, names, strict=True):
            each.name = name
        write_batch(batch, type(self).__name__, names)
        return queued

    def find_running(
        self, folder: Path, ids: set[str], command: Sequence[str] = ()
    ) -> list[QueuedJob]:
        """Jobs of earlier commands that still live and have any of these points, or this
        command.
        """
        found = list(batches(folder, type(self).__name__))
        alive = self.alive([name for _, names in found for name in names])
        running = []
        for batch, names in found:
            for number, name in enumerate(names):
                if name not in alive:
                    continue
                path = batch / f"{number}{ENDING}"
                job = Job.read(path)
                mine = ids & set(job.ids)
                if mine or (command and list(job.command) == list(command)):
                    running.append(QueuedJob(name, path, mine, job.versions, groups=job.groups))
        return running

    def follow(
        self, running: list[QueuedJob], folder: Path, ids: set[str], leases: Leases
    ) -> Iterator[Event]:
        """Events of jobs until all have ended; `running` shrinks meanwhile."""
        store, doubtful = Store(folder), set[str]()
        while running:
            ends = self.job_ends([job.name for job in running])
            for job in list(running):
                yield from _received(job, ids)
                if job.refused:
                    self.cancel([each.name for each in running])
                    running.clear()
                    reason = f"job {job.name} was refused on its machine: {job.refused}"
                    yield {"event": "stopped", "reason": reason}
                    return
                end = ends.get(job.name)
                unexpected = end is not None and not job.over and not end.final
                if unexpected and job.name not in doubtful:
                    # Its last events may not have arrived yet, or it is just being queued again.
                    doubtful.add(job.name)
                elif end is not None or (job.over and not job.ids):
                    running.remove(job)
                    yield from self._after_end(job, end, store, folder, running, leases)
                else:
                    doubtful.discard(job.name)
            if running:
                time.sleep(self.poll_seconds)

    def _after_end(
        self,
        job: QueuedJob,
        end: JobEnd | None,
        store: Store,
        folder: Path,
        running: list[QueuedJob],
        leases: Leases,
    ) -> Iterator[Event]:
        """Report what an ended job has stored without an event; queue what it has left again, or
        give it up.
        """
        landed = {id for id in job.ids if store.version(id) != job.versions.get(id)}
        if landed:
            yield {"event": "stored", "group": job.name, "ids": sorted(landed)}
        held = {
            id
            for id, owner in leases.holders().items()
            if owner != job.owner and not leases.lost(owner)
        }
        left = job.ids - landed - held  # what others hold is theirs to finish or to lose
        if not left:
            return
        tries = 1 if job.gained or landed else job.tries + 1
        why = job.stopped or (end.why if end is not None else "it ended without its points")
        reason = self._final_reason(job, end, why, tries)
        event = {"group": job.name, "ids": sorted(left)}
        if reason is not None:
            yield {"event": "given up", **event, "reason": reason}
            return
        rest = [
            part
            for group in job.groups
            if (part := group.only(point for point in group.points if point.id in left)) is not None
        ]
        running += self.submit([rest], folder, tries)
        how = f"queued again as job {running[-1].name}"
        yield {"event": "retried", **event, "reason": f"job {job.name}: {why}", "how": how}

    def _final_reason(self, job: QueuedJob, end: JobEnd | None, why: str, tries: int) -> str | None:
        """Why an ended job is not queued again; None if it is."""
        if job.stopped:
            return why
        if end is not None and end.final:
            return f"job {job.name}: {why}"
        if tries >= self.tries:
            return f"job {job.name}: {why}, {tries} times without any progress{self.log_tail(job)}"
        return None


def _received(job: QueuedJob, ids: set[str]) -> Iterator[Event]:
    """New events of a job that concern these points; the others change what is known of it."""
    for event in job.receive():
        kind = event["event"]
        if kind == "began":
            job.over, job.owner = False, event["owner"]
        elif kind in ("over", "left"):
            job.over, job.gained = kind == "over", job.gained or event["gained"]
        elif kind == "stopped":  # this job; others may still succeed
            job.stopped = event["reason"]
        elif kind == "refused":
            job.refused = event["reason"]
        elif "ids" in event:
            mine = [id for id in event["ids"] if id in (job.ids if kind in FINAL else ids)]
            if kind in FINAL:
                job.ids -= set(mine)
                job.gained = True
            if mine:
                yield {**event, "ids": mine}
        else:
            yield event


def _remove_finished(folder: Path) -> None:
    """Remove the files of batches whose points are all stored; other logs may explain a failure."""
    stored = set(Store(folder).ids())
    for batch in (folder / FOLDER).glob("*/"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            jobs = [Job.read(path) for path in batch.glob(f"*{ENDING}")]
            if all(set(job.ids) <= stored and not job.command for job in jobs):
                shutil.rmtree(batch, ignore_errors=True)
    with contextlib.suppress(OSError):
        (folder / FOLDER).rmdir()
