"""Windows of series, split by time, by group or by row, with persistence and seasonal naive."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from study.interfaces import PARTS
from study.records import StudyError
from study.tasks.shared.reading import Names, Read, part_names
from study.tasks.shared.splitting import sizes_off, split_groups
from study.tasks.shared.windows import Spans


def windows(
    series: Sequence[tuple[str, np.ndarray]],
    *,
    window: int,
    horizon: int,
    season: int | None,
    shares: Mapping[str, float],
    source: str,
    licence: str,
    stride: int = 1,
    outputs: int = 1,
    groups: Sequence[object] | None = None,
    parts: Sequence[np.ndarray] | None = None,
    pieces: Sequence[np.ndarray] | None = None,
    how: str = "time",
    seed: int = 0,
) -> Read:
    """Every `stride`-th window of `window` rows, to predict `horizon` rows ahead.

    `series`: (name, [rows, D], the `outputs` targets last). Rows are split by time, the last shares
    for validation and test; with `groups` [one per series], whole groups are drawn with `seed` (how
    = time: in their order); with `parts` [rows of each series], rows belong to the part named
    there. A window and its targets are in the same part, and where `pieces` [rows of each series]
    numbers stretches without a gap, in the same one. Windows whose copies would be large are views.
    Persistence predicts a target's last value in the window, seasonal naive its latest known
    value a whole number of seasons before the predicted one.
    """
    # the smallest number of whole seasons that is at least the horizon
    back = 0 if season is None else math.ceil(horizon / season) * season
    ahead = window + horizon - 1  # from a window's first row to the predicted one
    if back > ahead:
        raise StudyError(
            f"task.season: {season} rows do not fit task.window={window}; with"
            f" task.horizon={horizon} it must be at least {back - horizon + 1}"
        )
    warnings: list[str] = []
    if parts is not None:
        found, split = _in_file(series, parts), "as the file says"
    elif groups is not None:
        lengths = np.array([len(values) for _, values in series])
        of = split_groups(
            np.asarray(groups), shares, how=how, seed=seed, weights=lengths, source=source
        )
        found = [(n, 0, len(series[n][1]), part) for part, index in of.items() for n in index]
        sizes = {part: float(lengths[index].sum()) for part, index in of.items()}
        warnings += sizes_off(sizes, shares, "whole groups")
        split = "by group in time" if how in ("time", "chronological") else f"by group, seed {seed}"
    else:
        found, split = _in_time(series, shares, ahead, source), "by time"
    runs: dict[str, list[tuple[int, int, int]]] = {part: [] for part in PARTS}
    short = 0
    for number, begin, rows, part in found if pieces is None else _within(found, pieces):
        if rows > ahead:
            runs[part].append((number, begin, (rows - ahead - 1) // stride + 1))
        short += rows <= ahead
    if short:
        warnings.append(
            f"{short} of the stretches of rows are shorter than task.window + task.horizon ="
            f" {ahead + 1} and give no window"
        )
    for part, some in runs.items():
        if not some:
            raise StudyError(
                f"task: {source}: {part} has no stretch of task.window + task.horizon ="
                f" {ahead + 1} rows"
            )
    spans = Spans(
        series=[values for _, values in series],
        names=[name for name, _ in series],
        runs={part: np.array(some, dtype=np.int64) for part, some in runs.items()},
        window=window,
        ahead=ahead,
        stride=stride,
        outputs=outputs,
    )
    large = spans.too_many_to_copy()
    validation = spans.positions("validation", spans.evaluated("validation") if large else None)
    asked = spans.values(validation, ahead)
    rules = {"persistence": window - 1} | ({"seasonal naive": ahead - back} if season else {})
    train = spans.positions("train")
    moves = spans.values(train, ahead) - spans.values(train, ahead - (season or 1))
    places = {part: _in_order(spans, part, large) for part in PARTS[:2]}
    return _read(
        spans,
        large,
        source=source,
        licence=licence,
        split=f"{split}, windows",
        warnings=warnings,
        rules={
            name: _by_target((asked - spans.values(validation, after)) ** 2)
            for name, after in rules.items()
        },
        guessed={
            name: {part: spans.values(own, after) for part, own in places.items()}
            for name, after in rules.items()
        },
        naive=_by_target(np.abs(moves)),
    )


def _by_target(errors: np.ndarray) -> np.ndarray:
    """Means [O] of errors [N, O], each added by itself: the order is part of stored numbers."""
    return np.array([np.ascontiguousarray(column).mean() for column in errors.T])


def _in_order(spans: Spans, part: str, large: bool) -> np.ndarray:
    """Positions of a part's windows in the order of its examples."""
    if large:
        return spans.positions(part, spans.evaluated(part))
    found = spans.positions(part)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def _read(spans: Spans, large: bool, **described: object) -> Read:
    """The windows as views of their rows, copied when they are padded, or never if `large`."""
    if large:
        return Read(
            sequences=(),
            targets=np.empty(0),
            names=(),
            windows=spans,
            **described,  # type: ignore[arg-type]
        )
    # in the order of the series, then of their rows
    runs = sorted(
        (int(number), int(begin), int(count), part)
        for part in PARTS
        for number, begin, count in spans.runs[part]
    )
    sequences: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    names: list[tuple[str, Sequence[int]]] = []
    index: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    for number, begin, count, part in runs:
        index[part].append(np.arange(len(sequences), len(sequences) + count))
        values = spans.series[number]
        starts = range(begin, begin + count * spans.stride, spans.stride)
        sequences += [values[start : start + spans.window] for start in starts]
        targets.append(values[np.array(starts) + spans.ahead, -spans.outputs :])
        names.append((f"{spans.names[number]}window from row ", starts))
    return Read(
        sequences=sequences,
        targets=np.concatenate(targets),
        names=Names(*names),
        parts={part: np.concatenate(some) for part, some in index.items()},
        **described,  # type: ignore[arg-type]
    )


Stretch = tuple[int, int, int, str]  # a series' number, first row, rows, part


def _in_time(
    series: Sequence[tuple[str, np.ndarray]], shares: Mapping[str, float], ahead: int, source: str
) -> list[Stretch]:
    """The parts of each series; StudyError if one is too short."""
    found: list[Stretch] = []
    for number, (name, values) in enumerate(series):
        start = 0
        for part, rows in zip(PARTS, _counts(len(values), shares), strict=True):
            if rows <= ahead:
                raise StudyError(
                    f"task: {source}: {name}{part} has {rows} rows, fewer than task.window +"
                    f" task.horizon = {ahead + 1}"
                )
            found.append((number, start, rows, part))
            start += rows
    return found


def _in_file(
    series: Sequence[tuple[str, np.ndarray]], parts: Sequence[np.ndarray]
) -> list[Stretch]:
    """Stretches of rows that the file gives to one part."""
    return [
        (number, begin, end - begin, part)
        for number, of in enumerate(parts)
        for begin, end, part in _stretches(part_names(np.asarray(of), series[number][0] or "row"))
    ]


def _within(found: Sequence[Stretch], pieces: Sequence[np.ndarray]) -> Iterator[Stretch]:
    """Stretches that cross no gap."""
    for number, begin, rows, part in found:
        for first, end, _ in _stretches(pieces[number][begin : begin + rows]):
            yield number, begin + first, end - first, part


def _stretches(names: np.ndarray) -> Iterator[tuple[int, int, str]]:
    """(begin, end, name) of rows of one name."""
    cuts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    for begin, end in itertools.pairwise(cuts):
        yield begin, end, str(names[begin])


def _counts(rows: int, shares: Mapping[str, float]) -> list[int]:
    """Rows of train, validation and test."""
    later = [round(share * rows) for share in shares.values()]
    return [rows - sum(later), *later]
