"""Trackers, each in a process of its own that gets one point at a time and a limited time for it.

Stored points are sent, and rows of points in training to trackers that take them. While a tracker
is slow, rows of a point are gathered: training and the launch never wait for it.

Whatever goes wrong there (it hangs, dies, has no network or a full disk), the tracker is switched
off with one warning and the study continues. The next launch sends it what it has missed.
"""

from __future__ import annotations

import contextlib
import io
import queue
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hydra.utils import get_class
from rich.console import Console

from study.config.build import build
from study.interfaces import Point, Tracker
from study.launch.console import print_line
from study.machine.orphans import end
from study.machine.processes import start
from study.store import Damaged, Store
from study.store.race import held_out

START_SECONDS = 300.0  # for its process to start: slow imports are not the tracker's fault
SHOWN_AFTER = 2.0  # seconds of waiting for trackers at the end, after which that is shown
Message = tuple[str, str, Sequence[str]]  # id of a point, folder of its store, tags
Rows = tuple[Point, list[Mapping[str, Any]]]


class Trackers:
    """All trackers of a launch. One that does not answer within `seconds` is switched off."""

    def __init__(
        self, nodes: Mapping[str, Any], study: str, folder: Path, console: Console, seconds: float
    ) -> None:
        self.sinks = [
            Sink(name, node, study, folder, console, seconds) for name, node in nodes.items()
        ]

    def send(self, store: Store, ids: Iterable[str], tags: Sequence[str] = ()) -> None:
        """Send stored points to every tracker; failed points are skipped there, and all that a
        race holds out wait for its end.
        """
        if self.sinks and held_out(store.folder):
            return
        for id in ids:
            for sink in self.sinks:
                sink.queue.put((id, str(store.folder), tuple(tags)))

    def update(self, point: Point, rows: Sequence[Mapping[str, Any]]) -> None:
        """Send rows of a point in training to the trackers that take them."""
        for sink in self.sinks:
            sink.update(point, rows)

    def close(self, *, now: bool = False) -> None:
        """Wait until everything is sent; with `now`, only for the current point: the next launch
        sends the rest.
        """
        for sink in self.sinks:
            sink.now = sink.now or now
            sink.queue.put(None)
        deadline = time.monotonic() + SHOWN_AFTER
        for sink in self.sinks:
            sink.thread.join(max(deadline - time.monotonic(), 0.0))
        self._show_waiting()

    def _show_waiting(self) -> None:
        """Say which trackers still have points to send, until they have sent them."""
        if not self.sinks:
            return
        console = self.sinks[0].console
        if not console.is_terminal:
            if waiting := self._waiting():
                print_line(console, waiting)
            for sink in self.sinks:
                sink.thread.join()
            return
        with console.status("") as status:
            while waiting := self._waiting():
                status.update(waiting)
                time.sleep(0.1)

    def _waiting(self) -> str:
        left = [
            f"{sink.name} ({sink.queue.qsize()} to go)"
            for sink in self.sinks
            if sink.thread.is_alive()
        ]
        return f"waiting for trackers: {', '.join(left)}" if left else ""


class Said(str):
    """A line that a tracker has printed: not an answer."""


class Lines(io.TextIOBase):
    """Sends printed lines to the launch, which shows them beside its progress, not inside it."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.rest = connection, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.connection.send(Said(line))
        return len(text)


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
        self.queue: queue.SimpleQueue[Message | str | None] = queue.SimpleQueue()
        self.rows: dict[str, Rows] = {}  # of points whose ids are queued
        self.lock = threading.Lock()
        self.takes_rows = "rows" in node and _has_update(node)
        # Started by the main thread, since a process ends with the thread that started it.
        self.process, self.connection = start(serve, name, dict(node), study, str(folder))
        self.thread = threading.Thread(target=self._feed, daemon=True)
        self.thread.start()

    def update(self, point: Point, rows: Sequence[Mapping[str, Any]]) -> None:
        """Queue rows of a point, or add them to those that wait."""
        if not self.takes_rows or not self.thread.is_alive():
            return
        with self.lock:
            waiting = self.rows.get(point.id)
            if waiting is None:
                self.rows[point.id] = (point, list(rows))
                self.queue.put(point.id)
            else:
                waiting[1].extend(rows)

    def _feed(self) -> None:
        answered = self._answers(seconds=START_SECONDS) and self._answers()
        while answered and (message := self.queue.get()) is not None and not self.now:
            if isinstance(message, str):
                with self.lock:
                    waiting = self.rows.pop(message)
                answered = self._answers(waiting)
            else:
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
            while isinstance(wrong := self._received(seconds), Said):
                print_line(self.console, wrong)
        except (EOFError, OSError):
            self.process.join(self.seconds)
            wrong = f"its process died (exit status {self.process.exitcode})"
        if wrong:
            print_line(
                self.console,
                f"warning: tracker {self.name} is switched off, the study continues ({wrong})",
                "yellow",
            )
        return not wrong

    def _received(self, seconds: float) -> str | None:
        if self.connection.poll(seconds):
            received: str | None = self.connection.recv()
            return received
        return f"no answer for {seconds:g} s (store.tracker_seconds)"


def serve(
    connection: Connection, name: str, node: Mapping[str, Any], study: str, folder: str
) -> None:
    """What the process runs: reports that it has started, opens the tracker, then answers every
    message with None, or with what went wrong.
    """
    connection.send(None)
    sys.stdout = Lines(connection)
    try:
        tracker: Tracker = build(node, f"tracker.{name}")
        tracker.open(study, Path(folder))
        while True:
            connection.send(None)
            message = connection.recv()
            if message == "close":
                tracker.close()
                connection.send(None)
                return
            if isinstance(message[0], Point):
                tracker.update(*message)
            else:
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
    if result["row"]["status"] == "failed":
        tracker.fail(id, str(result["row"].get("reason") or ""))
    else:
        tracker.log({**result, "tags": list(tags)} if tags else result, store.point_folder(id))


def _has_update(node: Mapping[str, Any]) -> bool:
    """Whether this tracker receives points while they train."""
    with contextlib.suppress(Exception):  # building it, in its own process, says what is wrong
        piece: type[Tracker] = get_class(node["_target_"])
        return piece.update is not Tracker.update
    return False
