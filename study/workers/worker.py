"""A worker process's life: one group after the other until the connection closes or it is told to
leave.
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
from study.training.engine import Left, run_group

SAY_SECONDS = 0.5  # between two signs of progress


class Place:
    """The update that a worker has come to, in memory that outlives it: a message might not be sent
    any more.
    """

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
    """Where a worker that hangs writes what it is doing."""
    return scratch / f"{number}.stack"


class Worker:
    """What this process is doing, and whether it has been told to leave."""

    def __init__(self, connection: Connection, number: int, folder: Path, scratch: Path) -> None:
        self.connection, self.number, self.folder = connection, number, folder
        self.scratch, self.place = scratch, Place(scratch / f"{number}.place")
        self.told: int | None = None
        self.busy, self.said = False, 0.0

    def hear_signals(self) -> None:
        for number in LEAVE:
            signal.signal(number, self.leave)
        # Written by the signal's handler itself: a cell that loops forever gives Python no time to
        # run another one.
        faulthandler.register(
            WRITE_STACK, file=stack_file(self.scratch, self.number).open("w"), all_threads=False
        )
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {WRITE_STACK})

    def leave(self, number: int, frame: Any) -> None:
        """Told to leave: at once where nothing is trained, else after this update."""
        self.told = number
        if not self.busy:
            raise SystemExit(128 + number)

    def say(self, **event: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.connection.send(event)

    def live(self) -> None:
        while True:
            try:
                group: Group = self.connection.recv()
            except EOFError:
                return
            self.busy = True
            self.say(event="begun")
            event = self.run(group)
            self.say(**event)
            self.busy = False
            if self.told is not None:
                raise SystemExit(128 + self.told)

    def run(self, group: Group) -> Mapping[str, Any]:
        """What became of a group. Whatever a piece raises is told, and this process goes on."""

        def hear(update: int) -> bool:
            self.place.write(update)
            now = time.monotonic()
            if now - self.said >= SAY_SECONDS:
                self.said = now
                self.say(event="progress", update=update)
            return self.told is not None

        try:
            device = set_up(group.points[0].config).device
            place = (
                f"cuda:{self.number % torch.cuda.device_count()}" if device == "cuda" else device
            )
            run_group(
                group, self.folder, place, hear, lambda text: self.say(event="note", text=text)
            )
        except Left:
            return {"event": "left"}
        except CannotStore as error:
            return {"event": "unstorable", "reason": str(error)}
        except Exception as error:  # whatever a piece raises
            return {"event": "error", "told": failure(error, self.folder)}
        finally:
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()  # what a group that was too large has left behind
        return {"event": "stored"}


def work(connection: Connection, number: int, folder: str, scratch: str) -> None:
    """The process. `scratch`: a folder for what must be known of a worker that cannot tell it any
    more.
    """
    worker = Worker(connection, number, Path(folder), Path(scratch))
    worker.hear_signals()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    worker.live()
