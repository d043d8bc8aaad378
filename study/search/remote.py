"""A search on other machines: each job runs the same command with executor=local.

Jobs share trials through the database.
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Iterator, Sequence

from rich.console import Console

from study.config.setup import set_up
from study.interfaces import Event
from study.launch.console import print_line
from study.records import StudyError
from study.search.planning import default
from study.search.slots import Slots
from study.search.spec import Spec
from study.search.storage import JOURNAL
from study.training.groups import cost
from study.workers.queued import QueuedJob
from study.workers.remote import RemoteExecutor

ABOUT_RUNNING = ("executor", "device")


class RemoteSearch:
    """The jobs of one search."""

    def __init__(self, spec: Spec, executor: RemoteExecutor) -> None:
        if spec.settings.storage == JOURNAL:
            raise StudyError(
                "search.storage: a search on several machines keeps its trials in a database:"
                " search.storage=postgresql://user@host/database"
            )
        self.spec, self.executor = spec, executor
        trials = spec.settings.trials * len(spec.arms)
        self.seconds = (
            sum(cost(set_up(default(spec, arm).config)) for arm in spec.arms)
            * spec.settings.trials
            * spec.settings.replicates
        )
        most = min(executor.search_jobs, math.ceil(trials / executor.workers))
        self.jobs = max(
            1, min(math.ceil(self.seconds / (executor.target * executor.workers)), most)
        )

    @property
    def workers(self) -> int:
        return self.jobs * self.executor.workers

    def command(self) -> list[str]:
        """Arguments of `python -m study` in each job: as typed, except executor and device."""
        typed = [
            argument
            for argument in sys.argv[1:]
            if argument.lstrip("+").split("=")[0].split(".")[0] not in ABOUT_RUNNING
        ]
        local = [
            f"executor.{key}={'null' if value is None else value}"
            for key, value in self.executor.local.items()
            if key not in ("_target_", "device")
        ]
        return [*typed, "executor=local", *local, f"device={self.executor.device}"]

    def events(self, slots: Sequence[Slots], console: Console) -> Iterator[Event]:
        """Submit jobs and yield events until every slot is over, or jobs end without progress.

        There are no events of single trials; the database has them.
        """
        executor, folder, command = self.executor, self.spec.folder.resolve(), self.command()
        running = executor.find_running(folder, set(), command)
        batches = {job.path.parent for job in running}
        tries, before = 0, -1
        try:
            while not all(each.over() for each in slots):
                if not running or (tries == 0 and len(running) < self.jobs):
                    done = sum(slot.over for each in slots for slot in each.slots())
                    tries, before = (1, done) if done > before else (tries + 1, before)
                    if tries > executor.tries:
                        print_line(
                            console,
                            f"jobs have ended {executor.tries} times without finishing a trial",
                            "red",
                        )
                        return
                    running += executor.submit(
                        [[]] * (self.jobs - len(running)), folder, command=command
                    )
                    batches |= {job.path.parent for job in running}
                    print_line(console, executor.queued_message([job.name for job in running]))
                time.sleep(executor.poll_seconds)
                running = [job for job in running if not self.ended(job, console)]
                yield {"event": "over"}  # may have finished trials
        finally:
            if running:
                executor.leave(running)
        for batch in batches:
            shutil.rmtree(batch, ignore_errors=True)

    def ended(self, job: QueuedJob, console: Console) -> bool:
        """Whether a job has ended; print why if that was unexpected."""
        for event in job.receive():
            job.over = event["event"] == "over"
            if event["event"] == "refused":
                raise StudyError(
                    f"executor: job {job.name} was refused where it ran: {event['reason']}"
                )
        end = self.executor.job_ends([job.name]).get(job.name)
        if end is not None and not job.over:
            print_line(console, f"job {job.name}: {end.why}{self.executor.log_tail(job)}", "yellow")
        return end is not None
