"""What a figure is: a module with TITLE and `measure(asked, repeat)`; REPEATS where fewer are
enough, `ready()` where it may not be possible here.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class NotHere(Exception):
    """What a figure needs is not on this machine."""


@dataclass(frozen=True)
class TrialRequest:
    """`repeats`, `members` of a group, None: the figure's own; `share`: of points or updates, on
    both sides; `thin`: how much less the others' side is given, and scaled.
    """

    repeats: int | None
    members: int | None
    share: float
    thin: int
    points: int
    folder: Path
    say: Callable[[str], None]
    # by figure: what its table has no room for, kept in the JSON
    more: dict[str, Any] = field(default_factory=dict)

    def sized(self, members: int) -> int:
        return self.members or members


@dataclass(frozen=True)
class Goal:
    least: float | None = None
    most: float | None = None

    def met(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )

    def __str__(self) -> str:
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"


@dataclass(frozen=True)
class Value:
    """One repeat of one row: a ratio with the seconds of (them, us), or a number with its unit."""

    value: float
    unit: str = "×"
    goal: Goal | None = None
    sides: tuple[float, float] | None = None

    @classmethod
    def ratio(cls, them: float, us: float, goal: Goal | None = None) -> Value:
        return cls(them / us, "×", goal, (them, us))


@dataclass
class Row:
    """A row of the table: all repeats of one value."""

    name: str
    values: list[Value] = field(default_factory=list)

    @property
    def numbers(self) -> list[float]:
        return [value.value for value in self.values]

    @property
    def goal(self) -> Goal | None:
        return self.values[0].goal

    def kept(self, *, judged: bool) -> dict[str, Any]:
        """For the table and the JSON; a goal is `judged` where the whole work was done."""
        numbers = self.numbers
        kept: dict[str, Any] = {
            "median": statistics.median(numbers),
            "lowest": min(numbers),
            "highest": max(numbers),
            "values": numbers,
            "unit": self.values[0].unit,
        }
        if self.values[0].sides is not None:
            kept["seconds"] = [value.sides for value in self.values]
        reached = self.goal.met(kept["median"]) if judged and self.goal is not None else None
        return kept | {"goal": None if self.goal is None else str(self.goal), "reached": reached}


Found = Mapping[str, Value]  # by row


def in_turn(repeat: int, *runs: Callable[[], Any]) -> list[Any]:
    """What each run gives, in their order; every other repeat begins at the end."""
    order = range(len(runs)) if repeat % 2 == 0 else reversed(range(len(runs)))
    given = {number: runs[number]() for number in order}
    return [given[number] for number in range(len(runs))]
