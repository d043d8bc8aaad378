"""Run the worker processes of a search, or follow its jobs on other machines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch
from rich.console import Console

from study.config.build import build
from study.config.settings import Settings
from study.launch.console import print_line
from study.machine.processes import start
from study.records import StudyError
from study.search.messages import QUIET_SECONDS, TrialProgress
from study.search.remote import RemoteSearch
from study.search.slots import Slots
from study.search.spec import Spec
from study.search.storage import without_password
from study.search.worker import work

MOST_DEATHS = 10  # worker processes that may die in one launch


@dataclass
class Process:
    process: BaseProcess
    connection: Connection
    number: int


def workers(spec: Spec, settings: Settings) -> int:
    """Number of worker processes on this machine, at most one per trial.

    The executor's number of workers, times search.per_gpu on GPUs.
    """
    executor = build(settings.executor, "executor")
    if not isinstance(getattr(executor, "workers", None), int):
        raise StudyError(
            "executor: a search runs on this machine's cores or GPUs (executor=local); start it on"
            " each machine with search.storage=postgresql://…"
        )
    shared = (
        spec.settings.per_gpu
        if settings.device == "cuda" and executor.workers == torch.cuda.device_count()
        else 1
    )
    return max(1, min(executor.workers * shared, spec.settings.trials * len(spec.arms)))


def events(spec: Spec, slots: Sequence[Slots], count: int, console: Console) -> Iterator[str]:
    """Yield names of trials as they are stored, until every slot is over; replace dead workers."""
    if all(each.over() for each in slots):
        return
    running = [_start(spec, number) for number in range(count)]
    progress, deaths = TrialProgress(spec, slots, console), 0
    try:
        while running:
            ready = wait([each.connection for each in running])
            for worker in [each for each in running if each.connection in ready]:
                try:
                    event = worker.connection.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    running.remove(worker)
                    deaths += 1
                    print_line(
                        console,
                        f"a worker process died (exit status {worker.process.exitcode}); its trial"
                        " is tried again",
                        "yellow",
                    )
                    if deaths > MOST_DEATHS:
                        raise StudyError(
                            f"search: {deaths} worker processes died; out of memory is the usual"
                            " cause"
                        ) from None
                    running.append(_start(spec, worker.number))
                    continue
                if event["event"] in ("over", "broken"):
                    running.remove(worker)
                    worker.process.join()
                    if event["event"] == "broken":
                        print_line(
                            console, f"a worker gave up: {without_password(event['reason'])}", "red"
                        )
                progress.receive(event)
                if event["event"] == "stored" and event["record"]:
                    yield event["name"]
    finally:
        for worker in running:
            worker.process.terminate()
        for worker in running:
            worker.process.join()
        for each in slots if not running else ():
            if each.over():
                each.tidy()


def follow(remote: RemoteSearch, spec: Spec, slots: Sequence[Slots], console: Console) -> None:
    """Print the progress of a search on other machines, read from the database.

    Trials are sent to trackers where they run.
    """
    progress = TrialProgress(spec, slots, console)
    with contextlib.closing(remote.events(slots, console)) as events:  # type: ignore[type-var]
        for event in events:
            done = sum(slot.over for each in slots for slot in each.slots()) - progress.before
            if done != progress.trials or time.monotonic() - progress.printed > QUIET_SECONDS:
                progress.trials = done
                progress.receive(event)


def _start(spec: Spec, number: int) -> Process:
    process, connection = start(work, number, spec)
    return Process(process, connection, number)
