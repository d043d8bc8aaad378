"""Train what is left of a plan beside other launches of the same study: claim, train, wait for what
others have, take over what they lost.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence

from rich.console import Console

from study.interfaces import Event, Executor, Group
from study.launch.plan import Plan
from study.launch.progress import Progress
from study.store import Store
from study.store.leases import Leases, claim

LOOK_SECONDS = 1.0  # between two looks at what others hold


class Shared:
    """What one launch trains of its plan.

    `given_up` counts the points that were not tried any more, by the reason.
    """

    def __init__(
        self, plan: Plan, executor: Executor, store: Store, leases: Leases, console: Console
    ) -> None:
        self.plan, self.executor, self.store, self.leases, self.console = (
            plan,
            executor,
            store,
            leases,
            console,
        )
        self.left = list(plan.missing)
        self.made = self._groups()
        self.begun: set[str] = (
            set()
        )  # ids that the executor was given: whatever comes of them, this launch is done with them
        self.given_up: Counter[str] = Counter()
        self.stopped: str | None = None
        self.said: set[str] = set()

    def train(self) -> Generator[list[str]]:
        """Ids of points as this launch stores them, failed ones included, with progress shown on
        the way.
        """
        if not self.left:
            return
        with Progress(self.made, self.console) as progress:
            while self.left:
                for event in self.executor.run(self._claimed(), self.plan.folder):
                    yield from self._hear(event, progress)
                self._look()
                progress.left(point.id for point in self.left)
                if self.stopped:
                    self.given_up[self.stopped] += len(self.left)
                    return
                if self.left:
                    self._wait()
                    self._look()
                    self.made = self._groups()

    def _groups(self) -> list[Group]:
        return self.plan.cut(
            self.left,
            getattr(self.executor, "workers", 1),
            getattr(self.executor, "max_members", 16),
        )

    def _claimed(self) -> Iterator[Group]:
        """Groups when the executor asks for them: the points of each that nobody else has and
        nobody has stored since the plan was made.

        Unclaimed where its jobs claim for themselves: then this launch is done with a point only
        when something has come of it.
        """
        for group in self.made:
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

    def _look(self) -> None:
        self.left = [
            point for point in self.left if point.id not in self.begun and self._unchanged(point.id)
        ]

    def _wait(self) -> None:
        """Until others have stored, given back or lost something that is left."""
        while True:
            holders = self.leases.holders()
            if any(
                (holder := holders.get(point.id)) is None or self.leases.lost(holder)
                for point in self.left
            ):
                return
            self._say(f"waiting for {len(self.left)} points that another launch is training")
            time.sleep(LOOK_SECONDS)

    def _hear(self, event: Event, progress: Progress) -> Iterator[list[str]]:
        kind, ids = event["event"], list(event.get("ids", ()))
        if kind == "progress":
            progress.update(ids, event["update"])
        elif kind == "note":
            self._say(event["text"])
        elif kind == "retried":
            self._say(
                f"group {event['group']} ({len(ids)} points): {event['reason']}; {event['how']}"
            )
        elif kind == "stopped":
            self.stopped = str(event["reason"])
        else:
            if self.executor.claims:
                self._tell_of_standstill(ids)
            self.leases.release(ids)
            self.begun |= set(ids)
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

    def _tell_of_standstill(self, ids: Sequence[str]) -> None:
        if not all(self.leases.mine(id) for id in ids):
            self._say(
                "another launch has taken over points of this one, which stood still for too long;"
                " each counts once"
            )

    def _say(self, text: str) -> None:
        if text not in self.said:
            self.said.add(text)
            self.console.print(text, markup=False, highlight=False, style="yellow")
