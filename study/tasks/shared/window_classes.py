"""Windows of long series whose rows have classes: which class a window has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from study.interfaces import PARTS
from study.machine.resources import memory
from study.records import StudyError
from study.tasks.shared.parts import MIN_EXAMPLES
from study.tasks.shared.reading import Read
from study.tasks.shared.stretches import cut, spans_of


def class_windows(
    series: Sequence[tuple[str, np.ndarray]],
    classes: Sequence[np.ndarray],
    names: np.ndarray,
    *,
    window: int,
    stride: int,
    shares: Mapping[str, float],
    source: str,
    licence: str,
    groups: Sequence[object] | None,
    parts: Sequence[np.ndarray] | None,
    pieces: Sequence[np.ndarray] | None,
    how: str,
    seed: int,
) -> Read:
    """Every `stride`-th window of `window` rows, whose class is that of most of its rows.

    `series`: (name, [rows, D]), divided as `spans_of` says, so that no row is in two parts.
    classes: [rows] of each series, numbers of `names`. A tie is the later class's.
    """
    spans, split, warnings = spans_of(
        series,
        window=window,
        ahead=window - 1,
        stride=stride,
        outputs=0,
        shares=shares,
        source=source,
        groups=groups,
        parts=parts,
        pieces=pieces,
        how=how,
        seed=seed,
        least="task.window",
    )
    count = sum(spans.count(part) for part in PARTS)
    need = 4.0 * count * window * series[0][1].shape[1]
    if need > memory():
        raise StudyError(
            f"task.stride: {count:,} windows of {window} rows are {need / 1e9:.0f} GB, which do not"
            f" fit the memory of this machine, {memory() / 1e9:.0f} GB; a larger task.stride gives"
            " fewer windows"
        )
    sequences, firsts, labels, places = cut(spans)
    found = [majority(classes[number], starts, window) for number, starts in firsts]
    targets = names[np.concatenate([of for of, _ in found])]
    _check(targets, places, source)
    mixed = sum(int((share < 1).sum()) for _, share in found)
    notes = [f"the class of a window is that of most of its {window} rows"]
    if mixed:
        least = min(float(share.min()) for _, share in found)
        notes[0] += (
            f"; {mixed:,} of {count:,} windows ({mixed / count:.1%}) hold rows of several, of which"
            f" it has {least:.0%} at the least"
        )
    return Read(
        sequences=sequences,
        targets=targets,
        names=labels,
        source=source,
        licence=licence,
        parts=places,
        split=split,
        warnings=warnings,
        notes=notes,
    )


def _check(targets: np.ndarray, places: Mapping[str, np.ndarray], source: str) -> None:
    """Refuse parts of too few windows, and a training part of one class."""
    for part, index in places.items():
        if len(index) < MIN_EXAMPLES:
            raise StudyError(
                f"task.window: {source} gives {part} 1 window, and at least {MIN_EXAMPLES} are"
                " needed; a smaller task.window or task.stride gives more"
            )
    present = np.unique(targets[places["train"]])
    if len(present) == 1:
        raise StudyError(
            f"task.target: all training windows of {source} are of the class"
            f" {present[0].item()!r}; task.split=group with task.group draws whole series"
            " instead of the first rows of each"
        )


def majority(classes: np.ndarray, starts: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """(the class of most rows, its share of them) of windows [n] that begin at `starts`.

    classes: [rows], numbers. Of classes with as many rows, the one whose last row comes later.
    """
    best, count, last = np.zeros((3, len(starts)), dtype=np.int64)
    for one in np.unique(classes):
        rows = np.flatnonzero(classes == one)
        begin, end = np.searchsorted(rows, starts), np.searchsorted(rows, starts + window)
        own, latest = end - begin, rows[np.maximum(end - 1, 0)]
        better = (own > count) | ((own == count) & (own > 0) & (latest > last))
        best[better], count[better], last[better] = one, own[better], latest[better]
    return best, count / window
