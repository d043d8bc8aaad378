"""Length as a factor: how long a lag each arm still solves. Frames in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from reports.data.study import Study


@dataclass(frozen=True)
class Tried:
    """One length of an arm: T steps, the task's lag (NaN: undeclared), how many of the n stored
    points solved it.
    """

    steps: int
    lag: float
    solved: int
    n: int


@dataclass(frozen=True)
class Reach:
    """What one arm solves, `tried` in order of length; `longest` where more than the asked share of
    its points did, None where nowhere.
    """

    labels: Mapping[str, str]
    tried: Sequence[Tried]
    longest: Tried | None

    @property
    def everywhere(self) -> bool:
        """The longest length that was tried is solved: how much further it reaches is not known."""
        return self.longest is not None and self.longest is self.tried[-1]

    @property
    def after(self) -> Tried | None:
        """The next longer one that was tried."""
        return next(
            (
                one
                for one in self.tried
                if self.longest is not None and one.steps > self.longest.steps
            ),
            None,
        )


def length_factor(study: Study) -> str | None:
    """The task's setting that is a factor and makes its sequences longer: numbers, and points alike
    in all else have more steps with more of it.
    """
    points = study.stored
    if "steps" not in points:
        return None
    for key in study.factors:
        if (
            key.startswith("task.")
            and all(_number(level) is not None for level in study.levels(key))
            and _grows(points, key, list(study.factors))
        ):
            return key
    return None


def _number(level: str) -> float | None:
    try:
        return float(level)
    except ValueError:
        return None


def _grows(points: pd.DataFrame, key: str, factors: Sequence[str]) -> bool:
    others = [other for other in factors if other != key]
    steps = (
        points[points["steps"].notna()]
        .groupby([*others, key], sort=False)["steps"]
        .first()
        .reset_index()
    )
    steps["level"] = steps[key].map(_number)
    parts = (
        [own.sort_values("level")["steps"] for _, own in steps.groupby(others, sort=False)]
        if others
        else [steps.sort_values("level")["steps"]]
    )
    return any(len(own) > 1 for own in parts) and all(
        own.is_monotonic_increasing and own.is_unique for own in parts
    )


def reaches(study: Study, key: str, share: float) -> list[Reach]:
    """One an arm but for its length, in declared order; `share` of its points must be exceeded.

    What is not stored is not counted.
    """
    points, others = study.stored, [factor for factor in study.factors if factor != key]
    made = []
    for labels in study.combinations(others):
        own = points
        for factor, level in labels.items():
            own = own[own[factor] == level]
        tried = [
            Tried(
                int(steps),
                float(at["lag"].iloc[0]),
                int((at["outcome"] == "solved").sum()),
                len(at),
            )
            for steps, at in own[own["steps"].notna()].groupby("steps", sort=True)
        ]
        if tried:
            solved = [one for one in tried if one.solved > share * one.n]
            made.append(Reach(labels, tried, solved[-1] if solved else None))
    return made
