"""The worker processes of a search on this machine, and the jobs of one on others."""

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
from study.machine.processes import start
from study.records import StudyError
from study.search.messages import QUIET_SECONDS, TrialProgress
from study.search.remote import RemoteSearch
from study.search.slots import Slots
from study.search.spec import Spec
from study.search.storage import without_password
from study.search.worker import work

MOST_DEATHS = (
    10  # of worker processes in one launch, after which something is wrong with all of them
)


@dataclass
class Process:
    process: BaseProcess
    connection: Connection
    number: int


def workers(spec: Spec, settings: Settings) -> int:
    """Processes on this machine: the executor's, and on GPUs as many times as trials share one.

    No more than trials.
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
    """Names of trials as they are recorded, until every slot is over.

    Workers that die are replaced.
    """
    if all(of.over() for of in slots):
        return
    running = [_start(spec, number) for number in range(count)]
    progress, deaths = TrialProgress(spec, slots, console), 0
    try:
        while running:
            ready = wait([one.connection for one in running])
            for one in [one for one in running if one.connection in ready]:
                try:
                    event = one.connection.recv()
                except (EOFError, OSError):
                    one.process.join()
                    running.remove(one)
                    deaths += 1
                    console.print(
                        f"a worker process died (exit status {one.process.exitcode}); its trial is"
                        " tried again",
                        style="yellow",
                        highlight=False,
                    )
                    if deaths > MOST_DEATHS:
                        raise StudyError(
                            f"search: {deaths} worker processes died; out of memory is the usual"
                            " cause"
                        ) from None
                    running.append(_start(spec, one.number))
                    continue
                if event["event"] in ("over", "broken"):
                    running.remove(one)
                    one.process.join()
                    if event["event"] == "broken":
                        console.print(
                            f"a worker gave up: {without_password(event['reason'])}",
                            style="red",
                            markup=False,
                        )
                progress.hear(event)
                if event["event"] == "stored" and event["record"]:
                    yield event["name"]
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.join()
        for of in slots if not running else ():
            if of.over():
                of.tidy()


def follow(elsewhere: RemoteSearch, spec: Spec, slots: Sequence[Slots], console: Console) -> None:
    """Other machines search; what they have done is told from the database.

    Trackers hear of trials where they are tried.
    """
    progress = TrialProgress(spec, slots, console)
    with contextlib.closing(elsewhere.events(slots, console)) as heard:  # type: ignore[type-var]
        for event in heard:
            done = sum(slot.over for of in slots for slot in of.slots()) - progress.before
            if done != progress.trials or time.monotonic() - progress.said > QUIET_SECONDS:
                progress.trials = done
                progress.hear(event)


def _start(spec: Spec, number: int) -> Process:
    process, connection = start(work, number, spec)
    return Process(process, connection, number)
