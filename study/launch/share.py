"""Trains what is left of a plan while other launches train the same study: leases points, trains
them, waits for points that others hold, and takes over those that they lose.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from study.interfaces import Event, Executor, Group, Point
from study.launch.console import note
from study.launch.plan import Plan
from study.launch.progress import Progress
from study.store import Store
from study.store.leases import Leases, claim

POLL_SECONDS = 1.0  # while waiting for points that others hold
OnRows = Callable[[Point, Sequence[Mapping[str, Any]]], None]


class Shared:
    """The share of one launch in a study. `given_up` counts points that it no longer tries, by
    reason.
    """

    def __init__(
        self, plan: Plan, executor: Executor, store: Store, leases: Leases, console: Console
    ) -> None:
        self.plan, self.executor, self.store = plan, executor, store
        self.leases, self.console = leases, console
        self.left = list(plan.missing)
        self.groups = self._groups()
        # Ids that the executor was given: whatever becomes of them, this launch is done with them.
        self.begun: set[str] = set()
        self.given_up: Counter[str] = Counter()
        self.stopped: str | None = None
        self.printed: set[str] = set()
        self.points = {point.id: point for point in plan.points}
        self.on_rows: OnRows

    def train(self, on_rows: OnRows) -> Generator[list[str]]:
        """Yield ids of points as this launch stores them, failed ones included; show progress.

        `on_rows` receives rows of points in training (Tracker.update).
        """
        if not self.left:
            return
        self.on_rows = on_rows
        with Progress(self.groups, self.console) as progress:
            while self.left:
                for event in self.executor.run(self._claimed(), self.plan.folder):
                    yield from self._on_event(event, progress)
                self._update_left()
                progress.left(point.id for point in self.left)
                if self.stopped:
                    self.given_up[self.stopped] += len(self.left)
                    return
                if self.left:
                    self._wait()
                    self._update_left()
                    self.groups = self._groups()

    def _groups(self) -> list[Group]:
        return self.plan.cut(
            self.left,
            getattr(self.executor, "workers", 1),
            getattr(self.executor, "max_members", 16),
        )

    def _claimed(self) -> Iterator[Group]:
        """Groups as the executor asks for them, with those points that nobody else holds and that
        are unchanged since the plan was made.

        An executor whose jobs take leases themselves gets all points; then this launch is done with
        a point only when an event says so.
        """
        for group in self.groups:
            free = (
                claim(group, self.leases, self.store, self.plan.versions)
                if self.executor.claims
                else group
            )
            if free is not None:
                self.begun |= {point.id for point in free.points} if self.executor.claims else set()
                yield free

    def _unchanged(self, id: str) -> bool:
        return self.store.version(id) == self.plan.versions.get(id)

    def _update_left(self) -> None:
        self.left = [
            point for point in self.left if point.id not in self.begun and self._unchanged(point.id)
        ]

    def _wait(self) -> None:
        """Return when others have stored, released or lost a point that is left."""
        while not self.leases.free(point.id for point in self.left):
            self._print(f"waiting for {len(self.left)} points that another launch is training")
            time.sleep(POLL_SECONDS)

    def _on_event(self, event: Event, progress: Progress) -> Iterator[list[str]]:
        kind, ids = event["event"], list(event.get("ids", ()))
        if kind not in ("progress", "rows"):
            note(self.console, f"event {dict(event)}", logging.DEBUG)
        if kind == "progress":
            progress.update(ids, event["update"])
        elif kind == "rows":
            for id in ids:
                self.on_rows(self.points[id], event["rows"][id])
        elif kind == "note":
            self._print(event["text"])
        elif kind == "retried":
            self._print(
                f"group {event['group']} ({len(ids)} points): {event['reason']}; {event['how']}"
            )
        elif kind == "stopped":
            self.stopped = str(event["reason"])
        else:
            if self.executor.claims:
                self._warn_of_takeover(ids)
            self.leases.release(ids)
            self.begun |= set(ids)
            if kind == "failed":
                why = f"points {', '.join(ids)} of group {event.get('group', '')} failed"
                note(self.console, f"{why}: {event.get('reason')}", logging.ERROR)
            if kind == "given up":
                self.given_up[str(event["reason"])] += len(ids)
            progress.finish(
                ids,
                event.get("group", ""),
                event.get("reason") if kind == "failed" else None,
                event.get("lost", 0),
            )
            if kind != "given up":
                yield ids

    def _warn_of_takeover(self, ids: Sequence[str]) -> None:
        if not all(self.leases.mine(id) for id in ids):
            self._print(
                "another launch has taken over points of this one, which was suspended for too"
                " long; each point counts once"
            )

    def _print(self, text: str) -> None:
        if text not in self.printed:
            self.printed.add(text)
            self.console.print(text, markup=False, highlight=False, style="yellow")
        else:
            note(self.console, text, logging.WARNING)
