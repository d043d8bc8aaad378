"""Divides the examples of a source into its parts, and says how."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from study.interfaces import PARTS
from study.records import StudyError
from study.tasks.shared import splitting
from study.tasks.shared.reading import Read, labels_of, part_names

MIN_EXAMPLES = 2  # per part


@dataclass(frozen=True)
class Division:
    """how: stratified, group, time (chronological) or file. classes: whether targets are classes.

    warnings: what dividing has to say, sentence by sentence.
    """

    how: str
    shares: Mapping[str, float]
    seed: int
    classes: bool
    warnings: list[str] = field(default_factory=list)

    def __call__(self, data: Read) -> dict[str, np.ndarray]:
        """The examples of each part; StudyError if they cannot be divided so."""
        strata = data.targets if self.classes else None
        if data.parts is not None:
            return self._by_file(data, strata)
        if self.how == "file":
            raise StudyError(
                f"task.split: file needs the part of each example, and {data.source} has none"
            )
        count = len(data.targets)  # sources may ask for the split before they have sequences
        if data.groups is not None:
            parts = splitting.split_groups(
                data.groups,
                self.shares,
                how=self.how,
                seed=self.seed,
                strata=strata,
                source=data.source,
            )
            self.warnings.extend(splitting.sizes_off(_sizes(parts), self.shares, "whole groups"))
            return parts
        if self.how == "group":
            raise StudyError(
                f"task.split: group needs the group of each example, and {data.source} has none"
            )
        counts = {part: max(1, round(share * count)) for part, share in self.shares.items()}
        if self.how != "stratified":
            last = count - counts["test"]
            everyone = np.arange(count)
            return {
                "train": everyone[: max(last - counts["validation"], 0)],
                "validation": everyone[max(last - counts["validation"], 0) : last],
                "test": everyone[last:],
            }
        try:
            return splitting.at_random(counts, strata, self.seed, count)
        except ValueError:  # a class is too small for that
            return self._spread(count, self.shares, strata)

    def _by_file(self, data: Read, strata: np.ndarray | None) -> dict[str, np.ndarray]:
        parts: dict[str, np.ndarray]
        if isinstance(data.parts, np.ndarray):
            of = part_names(data.parts, data.names)
            parts = {part: np.flatnonzero(of == part) for part in PARTS}
        else:
            parts = {part: np.asarray(index) for part, index in (data.parts or {}).items()}
        if not all(len(parts.get(part, ())) for part in ("train", "test")):
            raise StudyError(f"task.split: {data.source} must give examples to train and to test")
        for part, index in parts.items():
            if 0 < len(index) < MIN_EXAMPLES:
                raise StudyError(
                    f"task.split: {data.source} gives {_counted(len(index))} to {part}; at least"
                    f" {MIN_EXAMPLES} are needed"
                )
        if data.groups is not None:
            _check_groups(data, parts)
        if len(parts.get("validation", ())):
            return {part: parts[part] for part in PARTS}
        others, share = parts["train"], {"validation": self.shares["validation"]}
        inside = None if strata is None else strata[others]
        if data.groups is not None:
            drawn = splitting.spread(
                share, labels_of(data.groups[others]), inside, self.seed, fill=True
            )
        else:
            try:
                drawn = splitting.at_random(share, inside, self.seed, len(others))
            except ValueError:
                drawn = self._spread(len(others), share, inside)
        return {part: others[index] for part, index in drawn.items()} | {"test": parts["test"]}

    def _spread(
        self, count: int, shares: Mapping[str, float], strata: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Examples of classes that are too small to be in every part, training ones first."""
        parts = splitting.spread(shares, np.arange(count), strata, self.seed, fill=False)
        self.warnings.extend(splitting.sizes_off(_sizes(parts), shares, "classes of few examples"))
        return parts

    def check(self, data: Read, parts: Mapping[str, np.ndarray]) -> None:
        """Check that every part has examples, and training ones of two classes."""
        for part, index in parts.items():
            if len(index) < MIN_EXAMPLES:
                raise StudyError(
                    f"task: {data.source} cannot be split into {', '.join(PARTS)}:"
                    f" {_counted(len(index))} of {len(data.sequences)} would be left to {part}, and"
                    f" at least {MIN_EXAMPLES} are needed{self._help(data)}"
                )
        present = set(data.targets[parts["train"]].tolist()) if self.classes else set()
        if len(present) == 1:
            raise StudyError(
                f"task: all training examples of {data.source} are of the class"
                f" {min(present)!r}; task.split=stratified draws them from all classes"
            )

    def _help(self, data: Read) -> str:
        """What to do about a part without examples."""
        if data.parts is not None and self.classes:
            return (
                "; classes of one training example cannot be held out: with task.split=stratified"
                " and task.test, all parts are drawn from all examples"
            )
        if data.groups is not None:
            return "; there are too few groups"
        if self.classes:
            least, count = min(
                zip(*np.unique(data.targets, return_counts=True), strict=True),
                key=lambda pair: int(pair[1]),
            )
            return (
                f"; the smallest class, {str(least)!r}, has {count} examples; larger"
                " task.validation and task.test may help"
            )
        return "; larger task.validation and task.test may help"

    def describe(self, data: Read) -> str:
        """How the examples were divided, in words."""
        if data.split:
            return data.split
        if data.parts is not None:
            return "as the file says,"
        if self.how in ("time", "chronological"):
            groups = "" if data.groups is None else ", whole groups"
            return ("by time" if self.how == "time" else self.how) + groups
        kind = "stratified" if self.classes else "random"
        by = "" if data.groups is None else "by group, "
        return f"{by}{kind}, seed {self.seed},"


def _check_groups(data: Read, parts: Mapping[str, np.ndarray]) -> None:
    """Check that the file's own parts divide no group."""
    groups = labels_of(np.asarray(data.groups))
    for one, other in itertools.combinations(parts, 2):
        both = np.intersect1d(groups[parts[one]], groups[parts[other]])
        if len(both):
            raise StudyError(
                f"task.split: {data.source} has examples of the group {both[0].item()!r} in"
                f" {one} and in {other}"
            )


def _sizes(parts: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {part: len(index) for part, index in parts.items()}


def _counted(count: int) -> str:
    return f"{count} example" + ("" if count == 1 else "s")
