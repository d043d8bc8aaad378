"""This machine's cores or GPUs: one warm, single-threaded worker process each."""

from __future__ import annotations

import contextlib
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

import torch

from study.engine import run_group, store_failure
from study.grouping import resolve_device
from study.interfaces import Executor, Group, require
from study.processes import cores, start
from study.store import Store


@dataclass
class Worker:
    process: BaseProcess
    connection: Connection
    number: int
    group: Group | None = None


class Local(Executor):
    """`workers` processes; auto: one a core this process may use, or one a GPU where `device` is one."""

    def __init__(self, *, workers: Literal["auto"] | int, max_members: int, device: str) -> None:
        require(workers == "auto" or workers >= 1, "local", "workers", "auto or at least 1", workers)
        require(max_members >= 1, "local", "max_members", "at least 1", max_members)
        self.max_members = max_members
        on_gpu = resolve_device({"device": device}) == "cuda"
        self.workers = workers if isinstance(workers, int) else torch.cuda.device_count() if on_gpu else cores()

    def run(self, groups: Iterable[Group], folder: Path) -> Iterator[Mapping[str, Any]]:
        pending = deque(groups)
        workers = [_start(number, folder) for number in range(min(self.workers, len(pending)))]
        try:
            for worker in workers:
                _give(worker, pending)
            while any(worker.group for worker in workers):
                for worker in _ready(workers):
                    event = _event(worker, folder)
                    if event["event"] != "progress":
                        if not worker.process.is_alive():
                            workers[workers.index(worker)] = worker = _start(worker.number, folder)
                        _give(worker, pending)
                    yield event
        finally:
            for worker in workers:
                worker.process.terminate()
            for worker in workers:
                worker.process.join()


def _start(number: int, folder: Path) -> Worker:
    process, connection = start(_work, number, str(folder))
    return Worker(process=process, connection=connection, number=number)


def _give(worker: Worker, pending: deque[Group]) -> None:
    worker.group = pending.popleft() if pending else None
    if worker.group is not None:
        with contextlib.suppress(OSError):  # it has died meanwhile: its closed connection tells so when we wait for it
            worker.connection.send(worker.group)


def _ready(workers: list[Worker]) -> list[Worker]:
    """Workers that say something or have died. A closed connection is ready too."""
    busy = [worker for worker in workers if worker.group is not None]
    ready = wait([worker.connection for worker in busy])
    return [worker for worker in busy if worker.connection in ready]


def _event(worker: Worker, folder: Path) -> Mapping[str, Any]:
    """What a worker says; its death is said for it, and its points are marked failed."""
    assert worker.group is not None
    try:
        return worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return _failed(worker.group, folder, RuntimeError(f"the worker process died ({how}); out of memory is the usual cause of SIGKILL"))


def _failed(group: Group, folder: Path, error: Exception) -> Mapping[str, Any]:
    """Mark the points of a group failed, but for those that were stored before the error."""
    store = Store(folder)
    there = {id for id in store.ids() if store.result(id)["row"]["status"] != "failed"}
    lost = tuple(point for point in group.points if point.id not in there)
    store_failure(replace(group, points=lost), folder, error)
    return {
        "event": "failed",
        "group": group.name,
        "ids": [point.id for point in group.points],
        "lost": len(lost),
        "reason": f"{type(error).__name__}: {error}",
    }


def _work(connection: Connection, number: int, folder: str) -> None:
    """A worker's life: one group after the other until the connection closes."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    while True:
        try:
            group: Group = connection.recv()
        except EOFError:
            return

        def report(update: int, group: Group = group) -> None:
            connection.send({"event": "progress", "group": group.name, "update": update})

        ids = [point.id for point in group.points]
        try:
            device = resolve_device(group.points[0].config)
            run_group(group, Path(folder), f"cuda:{number % torch.cuda.device_count()}" if device == "cuda" else device, report)
            connection.send({"event": "stored", "group": group.name, "ids": ids})
        except BrokenPipeError:
            return
        except Exception as error:  # whatever a piece raises: its group is marked failed, the others go on
            connection.send(_failed(group, Path(folder), error))
