"""Trackers, each in a process of its own that gets one point at a time and a limited time for it.

Whatever goes wrong there (it hangs, dies, has no network or a full disk), the tracker is switched
off with one warning and the study continues. The next launch sends it what it has missed.
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

START_SECONDS = 300.0  # for its process to start: slow imports are not the tracker's fault
Message = tuple[str, str, Sequence[str]]  # id of a point, folder of its store, tags


class Trackers:
    """All trackers of a launch. One that does not answer within `seconds` is switched off."""

    def __init__(
        self, nodes: Mapping[str, Any], study: str, folder: Path, console: Console, seconds: float
    ) -> None:
        self.sinks = [
            Sink(name, node, study, folder, console, seconds) for name, node in nodes.items()
        ]

    def send(self, store: Store, ids: Iterable[str], tags: Sequence[str] = ()) -> None:
        """Send stored points to every tracker; failed points are skipped there."""
        for id in ids:
            for sink in self.sinks:
                sink.queue.put((id, str(store.folder), tuple(tags)))

    def close(self, *, now: bool = False) -> None:
        """Wait until everything is sent; with `now`, only for the current point: the next launch
        sends the rest.
        """
        for sink in self.sinks:
            sink.now = sink.now or now
            sink.queue.put(None)
        for sink in self.sinks:
            sink.thread.join()


class Sink:
    """One tracker's process, and a thread that feeds it so that the launch never waits for it."""

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
        self.queue: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        # Started by the main thread, since a process ends with the thread that started it.
        self.process, self.connection = start(serve, name, dict(node), study, str(folder))
        self.thread = threading.Thread(target=self._feed, daemon=True)
        self.thread.start()

    def _feed(self) -> None:
        answered = self._answers(seconds=START_SECONDS) and self._answers()
        while answered and (message := self.queue.get()) is not None and not self.now:
            answered = self._answers(message)
        if answered and self._answers("close"):
            self.process.join(self.seconds)
        end(self.process)
        self.process.join()

    def _answers(self, message: Any = None, seconds: float | None = None) -> bool:
        """Send a message, if any, and wait for the answer; False if the tracker is off now."""
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
                f"warning: tracker {self.name} is switched off, the study continues ({wrong})",
                markup=False,
                highlight=False,
                style="yellow",
            )
        return not wrong


def serve(
    connection: Connection, name: str, node: Mapping[str, Any], study: str, folder: str
) -> None:
    """What the process runs: reports that it has started, opens the tracker, then answers every
    message with None, or with what went wrong.
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


def _log(tracker: Tracker, message: Message) -> None:
    id, folder, tags = message
    store = Store(folder)
    try:
        result = store.result(id)
    except Damaged:  # or replaced meanwhile: the next launch sends it
        return
    if result["row"]["status"] != "failed":
        tracker.log({**result, "tags": list(tags)} if tags else result, store.point_folder(id))
