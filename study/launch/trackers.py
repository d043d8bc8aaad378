"""Trackers at arm's length: each in a process of its own, fed one point at a time and given a
limited time for it.

Whatever goes wrong there (it hangs, dies, runs into a full disk or has no network), the tracker is
switched off with one warning, and the study goes on. What it has not heard then, it is told by the
next launch.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rich.console import Console

from study.config.build import build
from study.interfaces import Tracker
from study.machine.orphans import end
from study.machine.processes import start
from study.store import Damaged, Store

START_SECONDS = 300.0  # for a process to start: what it imports is no tracker's fault
Told = tuple[str, str, Sequence[str]]  # id of a point, folder of its store, tags


class Trackers:
    """The sinks of results. `seconds`: without an answer, after which one is switched off."""

    def __init__(
        self, nodes: Mapping[str, Any], study: str, folder: Path, console: Console, seconds: float
    ) -> None:
        self.sinks = [
            Sink(name, node, study, folder, console, seconds) for name, node in nodes.items()
        ]

    def hear(self, store: Store, ids: Iterable[str], tags: Sequence[str] = ()) -> None:
        """Tell every tracker of stored points; failed points have nothing to tell."""
        for id in ids:
            for sink in self.sinks:
                sink.queue.put((id, str(store.folder), tuple(tags)))

    def close(self, *, now: bool = False) -> None:
        """Wait until everything is told, or with `now` for what is being told only: the next launch
        tells the rest.
        """
        for sink in self.sinks:
            sink.now = sink.now or now
            sink.queue.put(None)
        for sink in self.sinks:
            sink.thread.join()


class Sink:
    """One tracker's process, and the thread that feeds it: a queue that is not read must not stop
    the launch.
    """

    def __init__(
        self,
        name: str,
        node: Mapping[str, Any],
        study: str,
        folder: Path,
        console: Console,
        seconds: float,
    ) -> None:
        self.name, self.console, self.seconds, self.now = name, console, seconds, False
        self.queue: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        # From the main thread: a process dies with the thread that started it.
        self.process, self.connection = start(serve, name, dict(node), study, str(folder))
        self.thread = threading.Thread(target=self._feed, daemon=True)
        self.thread.start()

    def _feed(self) -> None:
        answered = self._answers(seconds=START_SECONDS) and self._answers()
        while answered and (told := self.queue.get()) is not None and not self.now:
            answered = self._answers(told)
        if answered and self._answers("close"):
            self.process.join(self.seconds)
        self._end()

    def _answers(self, message: Any = None, seconds: float | None = None) -> bool:
        """Send, and wait for the answer; False where the tracker is switched off instead."""
        seconds = seconds or self.seconds
        try:
            if message is not None:
                self.connection.send(message)
            wrong = (
                self.connection.recv()
                if self.connection.poll(seconds)
                else f"no answer for {seconds:g} s (store.tracker_seconds)"
            )
        except (EOFError, OSError):
            self.process.join(self.seconds)
            wrong = f"its process died (exit status {self.process.exitcode})"
        if wrong:
            self.console.print(
                f"warning: tracker {self.name} is switched off, the study goes on ({wrong})",
                markup=False,
                highlight=False,
                style="yellow",
            )
        return not wrong

    def _end(self) -> None:
        """The process and whatever it has started, in sessions of their own too."""
        end(self.process)
        self.process.join()


def serve(
    connection: Connection, name: str, node: Mapping[str, Any], study: str, folder: str
) -> None:
    """The process: it is there, opens the tracker, then answers every message; each with what went
    wrong, or None.
    """
    connection.send(None)
    try:
        tracker: Tracker = build(node, f"tracker.{name}")
        tracker.open(study, Path(folder))
        while True:
            sys.stdout.flush()
            connection.send(None)
            message = connection.recv()
            if message == "close":
                tracker.close()
                connection.send(None)
                return
            _log(tracker, message)
    except EOFError:
        return
    except Exception as error:  # a tracker is never a dependency
        connection.send(f"{type(error).__name__}: {error}")


def _log(tracker: Tracker, told: Told) -> None:
    id, folder, tags = told
    store = Store(folder)
    try:
        result = store.result(id)
    except Damaged:  # or replaced, meanwhile: the next launch tells it
        return
    if result["row"]["status"] != "failed":
        tracker.log({**result, "tags": list(tags)} if tags else result, store.point_folder(id))
