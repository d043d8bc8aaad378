"""Progress of a launch: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from study.interfaces import Group

QUIET_SECONDS = 10.0  # between plain lines
LEFT_FROM = 0.02  # share of the work after which the time left is shown


class Progress:
    """Progress by the expected cost of all updates; a failed point counts as finished."""

    def __init__(self, groups: Sequence[Group], console: Console) -> None:
        self.console = console
        self.costs = {
            point.id: group.cost / len(group.points) for group in groups for point in group.points
        }
        self.updates = {
            point.id: max(point.config["updates"], 1) for group in groups for point in group.points
        }
        self.done = dict.fromkeys(self.costs, 0.0)  # cost of each point so far
        self.total = sum(self.costs.values()) or 1.0
        self.finished: set[str] = set()
        self.start = self.printed = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %, elapsed"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self.bar = Bar(*columns, console=console, transient=True) if console.is_terminal else None
        self.task = self.bar.add_task(self._summary(), total=self.total) if self.bar else None

    def __enter__(self) -> Progress:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar:
            self.bar.stop()

    def update(self, ids: Sequence[str], update: int) -> None:
        """These points have trained for so many updates."""
        self.done |= {id: self.costs[id] * update / self.updates[id] for id in ids}
        self._show()

    def finish(self, ids: Sequence[str], group: str, reason: str | None, lost: int) -> None:
        """These points of a group have ended; `reason`: why `lost` of them failed, or None."""
        self.done |= {id: self.costs[id] for id in ids}
        self.finished |= set(ids)
        if reason is not None:
            self.console.print(
                f"group {group} failed ({lost} points): {reason}", markup=False, style="red"
            )
        self._show(now=True)

    def left(self, ids: Iterable[str]) -> None:
        """Only these points are left: other launches have finished the rest."""
        self.finished = self.costs.keys() - set(ids)
        self.done |= {id: self.costs[id] for id in self.finished}

    def _summary(self) -> str:
        minutes = (time.monotonic() - self.start) / 60
        count = len(self.finished)
        return f"{count}/{len(self.costs)} points" + (
            f", {count / minutes:.1f} per minute" if count else ""
        )

    def _show(self, *, now: bool = False) -> None:
        done = sum(self.done.values())
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=done, description=self._summary())
        elif now or time.monotonic() - self.printed >= QUIET_SECONDS:
            self.printed = time.monotonic()
            spent = self.printed - self.start
            # Before that, most of the time went into starting, which predicts nothing.
            left = (
                f", about {spent * (self.total - done) / done:.0f} s left"
                if done >= LEFT_FROM * self.total
                else ""
            )
            self.console.print(
                f"{self._summary()}, {done / self.total:.0%} after {spent:.0f} s{left}",
                markup=False,
                highlight=False,
            )
