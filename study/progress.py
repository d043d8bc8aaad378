"""Progress of a launch: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from study.interfaces import Group

QUIET_SECONDS = 10.0  # between plain lines


class Progress:
    """Counts updates of all members by group; a group that ends early counts as finished."""

    def __init__(self, groups: Sequence[Group], console: Console) -> None:
        self.console = console
        self.groups = {group.name: group for group in groups}
        self.made = dict.fromkeys(self.groups, 0.0)
        self.total = sum(group.cost for group in groups) or 1.0
        self.points = sum(len(group.points) for group in groups)
        self.finished = 0
        self.start = self.said = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn(), TextColumn("left"))
        self.bar = Bar(*columns, TimeRemainingColumn(), console=console, transient=True) if console.is_terminal else None
        self.task = self.bar.add_task(self._told(), total=self.total) if self.bar else None

    def __enter__(self) -> Progress:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar:
            self.bar.stop()

    def update(self, group: str, update: int) -> None:
        self.made[group] = self.groups[group].cost * update / max(self.groups[group].points[0].config["updates"], 1)
        self._show()

    def finish(self, group: str, reason: str | None, lost: int) -> None:
        """A group has ended; `reason` says why `lost` of its points failed, None if all are stored."""
        self.made[group] = self.groups[group].cost
        self.finished += len(self.groups[group].points)
        if reason is not None:
            self.console.print(f"group {group} failed ({lost} points): {reason}", markup=False, style="red")
        self._show(now=True)

    def _told(self) -> str:
        minutes = (time.monotonic() - self.start) / 60
        return f"{self.finished}/{self.points} points" + (f", {self.finished / minutes:.1f} a minute" if self.finished else "")

    def _show(self, *, now: bool = False) -> None:
        done = sum(self.made.values())
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=done, description=self._told())
        elif now or time.monotonic() - self.said >= QUIET_SECONDS:
            self.said = time.monotonic()
            spent = self.said - self.start
            left = f", about {spent * (self.total - done) / done:.0f} s left" if done else ""
            self.console.print(f"{self._told()}, {done / self.total:.0%} after {spent:.0f} s{left}", markup=False, highlight=False)
