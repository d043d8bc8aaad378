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
TOLD = 0.02  # share of the work from which the time left is told


class Progress:
    """Counts updates of all points; one that fails counts as finished."""

    def __init__(self, groups: Sequence[Group], console: Console) -> None:
        self.console = console
        self.costs = {
            point.id: group.cost / len(group.points) for group in groups for point in group.points
        }
        self.updates = {
            point.id: max(point.config["updates"], 1) for group in groups for point in group.points
        }
        self.made = dict.fromkeys(self.costs, 0.0)
        self.total = sum(self.costs.values()) or 1.0
        self.finished: set[str] = set()
        self.start = self.said = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
        )
        self.bar = (
            Bar(*columns, TimeRemainingColumn(), console=console, transient=True)
            if console.is_terminal
            else None
        )
        self.task = self.bar.add_task(self._told(), total=self.total) if self.bar else None

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
        """These points have made so many updates."""
        self.made |= {id: self.costs[id] * update / self.updates[id] for id in ids}
        self._show()

    def finish(self, ids: Sequence[str], group: str, reason: str | None, lost: int) -> None:
        """These points of a group have ended; `reason` says why `lost` of them failed, None if all
        are stored.
        """
        self.made |= {id: self.costs[id] for id in ids}
        self.finished |= set(ids)
        if reason is not None:
            self.console.print(
                f"group {group} failed ({lost} points): {reason}", markup=False, style="red"
            )
        self._show(now=True)

    def left(self, ids: Iterable[str]) -> None:
        """Only these are still to come: others than this launch have finished what it has not."""
        self.finished = self.costs.keys() - set(ids)
        self.made |= {id: self.costs[id] for id in self.finished}

    def _told(self) -> str:
        minutes = (time.monotonic() - self.start) / 60
        count = len(self.finished)
        return f"{count}/{len(self.costs)} points" + (
            f", {count / minutes:.1f} a minute" if count else ""
        )

    def _show(self, *, now: bool = False) -> None:
        done = sum(self.made.values())
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=done, description=self._told())
        elif now or time.monotonic() - self.said >= QUIET_SECONDS:
            self.said = time.monotonic()
            spent = self.said - self.start
            # Before that, nearly all of the time went into starting: it says nothing about what is
            # to come.
            left = (
                f", about {spent * (self.total - done) / done:.0f} s left"
                if done >= TOLD * self.total
                else ""
            )
            self.console.print(
                f"{self._told()}, {done / self.total:.0%} after {spent:.0f} s{left}",
                markup=False,
                highlight=False,
            )
