"""A worker process: trains one group after the other until its connection closes or a signal asks
it to leave.
"""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import signal
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from study.config.setup import set_up
from study.interfaces import Group
from study.machine.provenance import failure
from study.machine.signals import LEAVE, WRITE_STACK
from study.store import CannotStore
from study.training.engine import run_group
from study.training.loop import Stopped

PROGRESS_SECONDS = 0.5  # between two progress events


class Place:
    """The last update of a worker, in shared memory: a worker that dies can no longer send it."""

    def __init__(self, path: Path) -> None:
        path.touch()
        with path.open("r+b") as file:
            file.truncate(8)
            self.memory = mmap.mmap(file.fileno(), 8)

    def write(self, update: int) -> None:
        self.memory[:] = update.to_bytes(8, "little")

    def read(self) -> int:
        return int.from_bytes(self.memory[:], "little")


def stack_file(scratch: Path, number: int) -> Path:
    """Where a worker that hangs writes its stack."""
    return scratch / f"{number}.stack"


class Worker:
    """What this process is doing, and whether a signal has asked it to leave."""

    def __init__(self, connection: Connection, number: int, folder: Path, scratch: Path) -> None:
        self.connection, self.number, self.folder = connection, number, folder
        self.scratch, self.place = scratch, Place(scratch / f"{number}.place")
        self.leaving: int | None = None  # the signal
        self.busy, self.reported_at = False, 0.0

    def install_handlers(self) -> None:
        for number in LEAVE:
            signal.signal(number, self.leave)
        # Not a Python handler: a cell in an endless loop would never let one run.
        stack = stack_file(self.scratch, self.number).open("w")
        faulthandler.register(WRITE_STACK, file=stack, all_threads=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {WRITE_STACK})

    def leave(self, number: int, frame: Any) -> None:
        """Leave at once if nothing is being trained, else after the current update."""
        self.leaving = number
        if not self.busy:
            raise SystemExit(128 + number)

    def send(self, **event: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.connection.send(event)

    def live(self) -> None:
        while True:
            try:
                group: Group = self.connection.recv()
            except EOFError:
                return
            self.busy = True
            self.send(event="begun")
            event = self.run(group)
            self.send(**event)
            self.busy = False
            if self.leaving is not None:
                raise SystemExit(128 + self.leaving)

    def on_progress(self, update: int) -> bool:
        """Report an update; whether training is to stop after it."""
        self.place.write(update)
        now = time.monotonic()
        if now - self.reported_at >= PROGRESS_SECONDS:
            self.reported_at = now
            self.send(event="progress", update=update)
        return self.leaving is not None

    def run(self, group: Group) -> Mapping[str, Any]:
        """Train a group; the event of its end. Whatever a piece raises becomes an event too."""
        try:
            device = set_up(group.points[0].config).device
            place = (
                f"cuda:{self.number % torch.cuda.device_count()}" if device == "cuda" else device
            )
            run_group(
                group,
                self.folder,
                place,
                self.on_progress,
                lambda text: self.send(event="note", text=text),
                lambda rows: self.send(event="rows", rows=rows),
            )
        except Stopped:
            return {"event": "left"}
        except CannotStore as error:
            return {"event": "unstorable", "reason": str(error)}
        except Exception as error:  # whatever a piece raises
            return {"event": "error", "failure": failure(error, self.folder)}
        finally:
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()  # after a group that was too large
        return {"event": "stored"}


def work(connection: Connection, number: int, folder: str, scratch: str) -> None:
    """What the process runs. `scratch`: a folder for its last update and its stack, which are
    needed when the process cannot send them.
    """
    worker = Worker(connection, number, Path(folder), Path(scratch))
    worker.install_handlers()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    worker.live()
