"""The longest lag that each arm still solves, if length is a factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from reports.data.study import Study
from reports.formatting import levels, listing

HALF = 0.5  # of the seeds, that must solve a length
MOST_LENGTHS = 12  # choices whose longest lengths are said one by one


@dataclass(frozen=True)
class TriedLength:
    """One length T of an arm: the task's lag (NaN if undeclared), solved of n stored points."""

    steps: int
    lag: float
    solved: int
    n: int


@dataclass(frozen=True)
class LongestSolved:
    """The lengths tried by one arm, in order, and the longest that it solves.

    `longest`: the longest length that more than the given share of points solved, or None.
    """

    labels: Mapping[str, str]
    tried: Sequence[TriedLength]
    longest: TriedLength | None

    @property
    def all_tried(self) -> bool:
        """Whether the longest length tried is solved, so that the limit is unknown."""
        return self.longest is not None and self.longest is self.tried[-1]

    @property
    def next_tried(self) -> TriedLength | None:
        """The next longer length that was tried."""
        return next(
            (
                one
                for one in self.tried
                if self.longest is not None and one.steps > self.longest.steps
            ),
            None,
        )


def length_factor(study: Study) -> str | None:
    """The numeric factor of the task that makes its sequences longer, or None.

    Points that are alike in everything else must have more steps at higher levels.
    """
    points = study.stored
    if "steps" not in points:
        return None
    for key in study.factors:
        if (
            key.startswith("task.")
            and all(_number(level) is not None for level in study.levels(key))
            and _has_more_steps(points, key, list(study.factors))
        ):
            return key
    return None


def _number(level: str) -> float | None:
    try:
        return float(level)
    except ValueError:
        return None


def _has_more_steps(points: pd.DataFrame, key: str, factors: Sequence[str]) -> bool:
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


def longest_lags(study: Study, key: str, share: float) -> list[LongestSolved]:
    """One result per arm (without its length), in declared order.

    A length is solved if more than `share` of the stored points solved it.
    """
    points, others = study.stored, [factor for factor in study.factors if factor != key]
    made = []
    for labels in study.combinations(others):
        own = points
        for factor, level in labels.items():
            own = own[own[factor] == level]
        tried = [
            TriedLength(
                int(steps),
                float(at["lag"].iloc[0]),
                int((at["outcome"] == "solved").sum()),
                len(at),
            )
            for steps, at in own[own["steps"].notna()].groupby("steps", sort=True)
        ]
        if tried:
            solved = [one for one in tried if one.solved > share * one.n]
            made.append(LongestSolved(labels, tried, solved[-1] if solved else None))
    return made


def lengths_words(study: Study) -> str:
    """Up to which length each choice solves its task, if length is a factor."""
    key = length_factor(study)
    found = longest_lags(study, key, HALF) if key else []
    if not found or len(found) > MOST_LENGTHS:
        return ""
    reached: dict[str, list[str]] = {}
    for one in sorted(found, key=lambda one: -(one.longest.steps if one.longest else 0)):
        if one.longest is None:
            reach = f"none of {listing([f'{at.steps:,}' for at in one.tried])}"
        else:
            reach = f"{one.longest.steps:,}{' (the longest tried)' if one.all_tried else ''}"
        name = levels(one.labels) if one.labels else "the network"
        reached.setdefault(reach, []).append(name)
    said = [f"{reach}: {listing(names)}" for reach, names in reached.items()]
    reaches = "; ".join(said)
    return f"Longest length that more than half of the seeds solve at the end: {reaches}."
