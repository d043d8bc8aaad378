"""What a data source holds, and checks of it that name the example."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from study.interfaces import PARTS
from study.records import StudyError
from study.tasks.shared.scaling import PIECE, chunks, stacked
from study.tasks.shared.windows import Spans


class Names(Sequence[str]):
    """Names of examples that are written when read: runs of a prefix with numbers behind it."""

    def __init__(self, *runs: tuple[str, Sequence[int]]) -> None:
        self.runs = runs
        self.ends = list(itertools.accumulate(len(numbers) for _, numbers in runs))

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[one] for one in range(len(self))[place]]
        place = range(len(self))[place]
        run = bisect.bisect_right(self.ends, place)
        prefix, numbers = self.runs[run]
        return f"{prefix}{numbers[place - self.ends[run] + len(numbers)]}"


@dataclass(frozen=True)
class Read:
    """The content of a data source.

    sequences: [T_i, D] each, or one array [N, T, D] if all are of one length. targets: class names
    [N], or numbers [N] or [N, O]. names: the origin of each example, for messages ("series 7", "row
    12"). parts: for sources with a split of their own, the examples of each part, or the part's
    name of each example [N]; without validation, it is drawn from train. split: what the page says
    of such a split. rules: mean squared errors [O], in the targets' units, of rules that need no
    training, by name. columns: the channels' names in order, empty if they have none. left_out:
    columns that are not read, each with the reason. warnings: sentences for the plan and the page.
    groups: [N], examples of one group stay in one part. notes: further sentences on how it
    was read. guessed: answers [n, O] of the rules on train and validation, by rule and part. naive:
    mean absolute error [O] in training of the naive rule by which MASE divides. levels: whether
    targets are values of their own, not changes. windows: instead of sequences, targets, names and
    parts, where copies of them would not fit.
    """

    sequences: Sequence[np.ndarray] | np.ndarray
    targets: np.ndarray
    names: Sequence[str]
    source: str
    licence: str
    parts: Mapping[str, np.ndarray] | np.ndarray | None = None
    split: str = ""
    rules: Mapping[str, np.ndarray] = field(default_factory=dict)
    columns: Sequence[str] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    groups: np.ndarray | None = None
    notes: Sequence[str] = ()
    windows: Spans | None = None
    guessed: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    naive: np.ndarray | None = None
    levels: bool = True


# --- checks ---------------------------------------------------------------------------------------


def check_memory(data: Read, lengths: np.ndarray, there: float) -> None:
    """Check that the sequences fit the bytes that there are, padded to the longest."""
    longest = int(lengths.argmax())
    steps = int(lengths[longest])
    need = 4.0 * len(data.sequences) * steps * data.sequences[longest].shape[1]
    if need > there:
        problem = (
            f"{data.names[longest]} has {steps} steps, and {len(data.sequences)} sequences padded"
            f" to that are {need / 1e9:.0f} GB; cut long sequences into pieces"
        )
        raise StudyError(too_large(data, there, problem))


def too_large(data: Read, there: float, problem: str) -> str:
    """The sentence on data that do not fit the bytes that there are."""
    return (
        f"task: {data.source} does not fit the memory of this machine, {there / 1e9:.0f} GB:"
        f" {problem}"
    )


def check_finite(data: Read, lengths: np.ndarray) -> None:
    """Check that all sequences have steps, the same channels and finite values."""
    if not isinstance(data.sequences, np.ndarray):
        widths = {sequence.shape[1] for sequence in data.sequences}
        if len(widths) > 1:
            raise StudyError(
                f"task: {data.source}: sequences have {' and '.join(map(str, sorted(widths)))}"
                " channels; all must have the same"
            )
    if not data.sequences[0].shape[1]:
        raise StudyError(f"task: {data.source} has sequences of no channels")
    if not lengths.min():
        name = data.names[int(lengths.argmin())]
        raise StudyError(f"task: {data.source}: {name} has no steps")
    for chunk in chunks(lengths, data.sequences[0].shape[1]):
        if not np.isfinite(stacked(data.sequences, chunk)).all():
            for number in chunk:
                check_rows(data, data.names[number], data.sequences[number])


def check_rows(data: Read, name: str, rows: np.ndarray) -> None:
    """Check one sequence, or the rows of one series, in pieces."""
    size = max(PIECE // rows.shape[1], 1)
    for begin in range(0, len(rows), size):
        piece = rows[begin : begin + size]
        if not np.isfinite(piece).all():
            step, channel = np.argwhere(~np.isfinite(piece))[0]
            raise StudyError(
                f"task: {data.source}: {name} has {piece[step, channel]} at step"
                f" {begin + step}, channel {channel} (both from 0)"
            )


def check_numbers(data: Read) -> None:
    """Check that targets are finite numbers."""
    try:
        numbers = data.targets.astype(float)
    except (ValueError, TypeError) as error:
        raise StudyError(
            f"task: {data.source}: targets must be numbers for task.kind=regression ({error});"
            " text is for task.kind=classification"
        ) from error
    if not np.isfinite(numbers).all():
        first = int(np.argwhere(~np.isfinite(numbers))[0][0])
        raise StudyError(
            f"task: {data.source}: the target of {data.names[first]} is {data.targets[first]}"
        )


def classes_of(data: Read) -> list[Any]:
    """The classes, sorted; StudyError if an example has none, or if they are numbers."""
    labels = data.targets.tolist()
    if any(_no_class(label) for label in set(labels)):
        first = next(n for n, label in enumerate(labels) if _no_class(label))
        raise StudyError(
            f"task: {data.source}: {data.names[first]} has no class (its target is"
            f" {labels[first]!r})"
        )
    try:
        classes = sorted(set(labels))
    except TypeError as error:
        raise StudyError(
            f"task: {data.source}: classes must be all text or all numbers ({error})"
        ) from error
    if len(classes) < 2:
        raise StudyError(
            f"task: {data.source} has one class only ({classes[0]!r}); there is nothing to classify"
        )
    fractions = sum(_is_fraction(label) for label in classes)
    if len(classes) > 2 and len(classes) * (4 if fractions else 2) > len(labels):
        raise StudyError(
            f"task: {data.source} has {len(classes)} classes for {len(labels)} examples;"
            " numbers to predict are for task.kind=regression"
        )
    return classes


def part_names(labels: np.ndarray, names: Sequence[str] | str) -> np.ndarray:
    """[N] of train, validation or test; StudyError that names the first other one."""
    found = np.char.lower(np.char.strip(labels_of(labels)))
    wrong = np.flatnonzero(~np.isin(found, PARTS))
    if len(wrong):
        where = names if isinstance(names, str) else names[int(wrong[0])]
        raise StudyError(
            f"task.split: the part of {where} must be {', '.join(PARTS[:-1])} or {PARTS[-1]}, got"
            f" {labels.tolist()[int(wrong[0])]!r}"
        )
    return found


def labels_of(values: np.ndarray) -> np.ndarray:
    """Labels as text, so that any two can be compared; StudyError where one is missing."""
    values = np.asarray(values)
    empty = [n for n, value in enumerate(values.tolist()) if _no_class(value)]
    if empty:
        raise StudyError(f"task: example {empty[0]} (from 0) has no group or part")
    return values.astype(str)


def _is_fraction(label: Any) -> bool:
    """Whether a class is a number that is not whole, also one written as text."""
    try:
        number = float(label)
    except (TypeError, ValueError):
        return False
    return bool(np.isfinite(number)) and number % 1 != 0


def _no_class(label: Any) -> bool:
    if isinstance(label, str):
        return not label.strip()
    return label is None or not np.isfinite(label)
