"""The rows of series that belong to a part, and the windows that lie in them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from study.interfaces import PARTS
from study.records import StudyError
from study.tasks.shared.reading import Names, part_names
from study.tasks.shared.splitting import sizes_off, split_groups
from study.tasks.shared.windows import Spans

Stretch = tuple[int, int, int, str]  # a series' number, first row, rows, part


def spans_of(
    series: Sequence[tuple[str, np.ndarray]],
    *,
    window: int,
    ahead: int,
    stride: int,
    outputs: int,
    shares: Mapping[str, float],
    source: str,
    groups: Sequence[object] | None,
    parts: Sequence[np.ndarray] | None,
    pieces: Sequence[np.ndarray] | None,
    how: str,
    seed: int,
    least: str,
) -> tuple[Spans, str, list[str]]:
    """(the windows of each part, how rows were divided, warnings); StudyError if a part has none.

    `series`: (name, [rows, D]). Rows are split by time, the last shares for validation and test;
    with `groups` [one per series], whole groups are drawn with `seed` (how = time: in their order);
    with `parts` [rows of each series], rows belong to the part named there. Windows and the rows
    `ahead` of their first ones lie in one part, and where `pieces` [rows of each series] numbers
    stretches without a gap, in the same one. least: in words, the rows that a window needs.
    """
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
        found, split = _in_time(series, shares, ahead, source, least), "by time"
    runs: dict[str, list[tuple[int, int, int]]] = {part: [] for part in PARTS}
    short = 0
    for number, begin, rows, part in found if pieces is None else _within(found, pieces):
        if rows > ahead:
            runs[part].append((number, begin, (rows - ahead - 1) // stride + 1))
        short += rows <= ahead
    if short:
        warnings.append(
            f"{short} of the stretches of rows are shorter than {least} ="
            f" {ahead + 1} and give no window"
        )
    for part, some in runs.items():
        if not some:
            raise StudyError(f"task: {source}: {part} has no stretch of {least} = {ahead + 1} rows")
    spans = Spans(
        series=[values for _, values in series],
        names=[name for name, _ in series],
        runs={part: np.array(some, dtype=np.int64) for part, some in runs.items()},
        window=window,
        ahead=ahead,
        stride=stride,
        outputs=outputs,
    )
    return spans, f"{split}, windows", warnings


def cut(
    spans: Spans,
) -> tuple[list[np.ndarray], list[tuple[int, np.ndarray]], Names, dict[str, np.ndarray]]:
    """(windows as views, (series, first rows) of each run, their names, places by part).

    In the order of the series, then of their rows.
    """
    runs = sorted(
        (int(number), int(begin), int(count), part)
        for part in PARTS
        for number, begin, count in spans.runs[part]
    )
    sequences: list[np.ndarray] = []
    firsts: list[tuple[int, np.ndarray]] = []
    names: list[tuple[str, Sequence[int]]] = []
    index: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    for number, begin, count, part in runs:
        index[part].append(np.arange(len(sequences), len(sequences) + count))
        starts = range(begin, begin + count * spans.stride, spans.stride)
        sequences += [spans.series[number][start : start + spans.window] for start in starts]
        firsts.append((number, np.array(starts)))
        names.append((f"{spans.names[number]}window from row ", starts))
    places = {part: np.concatenate(some) for part, some in index.items()}
    return sequences, firsts, Names(*names), places


def _in_time(
    series: Sequence[tuple[str, np.ndarray]],
    shares: Mapping[str, float],
    ahead: int,
    source: str,
    least: str,
) -> list[Stretch]:
    """The parts of each series; StudyError if one is too short."""
    found: list[Stretch] = []
    for number, (name, values) in enumerate(series):
        start = 0
        for part, rows in zip(PARTS, _counts(len(values), shares), strict=True):
            if rows <= ahead:
                raise StudyError(
                    f"task: {source}: {name}{part} has {rows} rows, fewer than {least} ="
                    f" {ahead + 1}"
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
