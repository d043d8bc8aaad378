"""Rows of a table as the steps of sequences: their order, their times, what they lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from study.records import StudyError
from study.tasks.shared import timing
from study.tasks.shared.names import coded, names_of
from study.tasks.shared.table import Table
from study.tasks.shared.times import Times


@dataclass
class Reading:
    """A table while it is read: what the plan and the page will say about it.

    target: [N, O] numbers, if there are such targets. times: if there is a time column, whose dates
    are written in `date_format` if it is no ISO 8601.
    """

    table: Table
    warnings: list[str]
    notes: list[str] = field(default_factory=list)
    target: np.ndarray | None = None
    times: Times | None = None
    date_format: str | None = None

    def row(self, row: int | np.integer) -> int:
        """The number of a row in messages."""
        return self.table.row(int(row))


@dataclass(frozen=True)
class Steps:
    """Rows sorted by series and time: values [N, D], stamps [N], codes [N] of their series.

    origin: [N] rows of the file, -1 for rows that are not in it. first: a row of the file for each
    series, where origin does not say it. split: the series are pieces of series. pieces: [N],
    numbers that change at gaps that no window may cross.
    """

    values: np.ndarray
    codes: np.ndarray
    stamps: np.ndarray | None
    origin: np.ndarray
    first: np.ndarray | None = None
    split: bool = False
    pieces: np.ndarray | None = None

    @property
    def begins(self) -> np.ndarray:
        """The first row of each series."""
        return np.flatnonzero(np.diff(self.codes, prepend=-1))

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.begins, append=len(self.codes))

    @property
    def firsts(self) -> np.ndarray:
        """A row of the file for each series."""
        return self.origin[self.begins] if self.first is None else self.first


def ordered(values: np.ndarray, codes: np.ndarray, stamps: np.ndarray | None) -> Steps:
    """Rows of the file sorted by series, in the order of their first rows, and by time."""
    order = np.argsort(codes, kind="stable") if (np.diff(codes) < 0).any() else None
    if stamps is not None and len(back(codes, stamps, order)):
        order = np.lexsort((stamps, codes))
    if order is None:
        return Steps(values, codes, stamps, np.arange(len(codes)))
    return Steps(values[order], codes[order], None if stamps is None else stamps[order], order)


def back(codes: np.ndarray, stamps: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """Rows of the file that have an earlier time than the row before them in their series."""
    if order is not None:
        codes, stamps = codes[order], stamps[order]
    found = np.flatnonzero((np.diff(codes) == 0) & (np.diff(stamps) < 0)) + 1
    return found if order is None else order[found]


def first_rows(steps: Steps, shares: Mapping[str, float]) -> np.ndarray:
    """Whether each row [N] is among its series' first ones, which train."""
    lengths = steps.lengths
    train = lengths - sum(np.round(share * lengths).astype(int) for share in shares.values())
    return np.arange(len(steps.codes)) - np.repeat(steps.begins, lengths) < np.repeat(
        train, lengths
    )


def forward(values: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Fill NaN in place with the last value above it [N, D], never from an earlier series."""
    rows = np.arange(len(values))
    begin = np.zeros(len(values), dtype=int)
    begin[begins] = begins
    begin = np.maximum.accumulate(begin)
    for column in values.T:
        missing = np.isnan(column)
        if missing.any():
            last = np.maximum.accumulate(np.where(missing, begin, rows))
            column[missing] = column[last[missing]]
    return values


def shown(name: Any) -> str:
    """A name or number in a message."""
    return repr(name.item() if isinstance(name, np.generic) else name)


@dataclass(frozen=True)
class Timed:
    """Checks of the rows' times and what becomes of gaps; see task=csv for the settings.

    column, series: names of columns; names: of the series, by code.
    """

    reading: Reading
    times: Times
    column: str
    series: str | None
    names: np.ndarray
    gaps: Literal["refuse", "split", "fill", "allow"]
    resample: str | None
    elapsed: bool

    def note_order(self, codes: np.ndarray) -> None:
        """Note that the rows of the file are not in order, since they are sorted."""
        order = np.argsort(codes, kind="stable") if (np.diff(codes) < 0).any() else None
        found = back(codes, self.times.stamps, order)
        if len(found):
            self.reading.notes.append(
                f"{len(found):,} rows have an earlier {self.column} than the row before"
                f"{' of their series' if self.series else ''}, the first row"
                f" {self.reading.row(found.min())}; the rows are sorted by {self.column}"
            )

    def __call__(self, steps: Steps, *, forecast: bool) -> Steps:
        """The steps with gaps refused, split, filled or allowed, or resampled."""
        assert steps.stamps is not None
        if self.resample is not None:
            values, codes, stamps = timing.resampled(
                steps.values, steps.codes, steps.stamps, self.resample
            )
            self.reading.notes.append(
                f"{len(steps.codes):,} rows are read as {len(codes):,} means over {self.resample}"
            )
            return Steps(values, codes, stamps, np.full(len(codes), -1), steps.firsts)
        self._check_repeats(steps)
        between = timing.steps_between(steps.stamps, steps.begins, dates=self.times.dates)
        if between.step is None:
            self._warn_of_irregular(steps)
            return steps
        told = self._gaps(steps, between)
        if not told:
            return steps
        if self.gaps == "refuse":
            raise StudyError(f"task.time: {told}; task.gaps=split, fill or allow says what to do")
        self.reading.warnings.append(f"{told} (task.gaps={self.gaps})")
        if self.gaps == "split":
            cut = np.zeros(len(steps.codes), dtype=np.int64)
            cut[between.gaps], cut[steps.begins[1:]] = 1, 1
            pieces = np.cumsum(cut)
            if forecast:
                return replace(steps, pieces=pieces)
            return replace(steps, codes=pieces, split=True)
        if self.gaps == "fill":
            return _filled(steps, between)
        return steps

    def _warn_of_irregular(self, steps: Steps) -> None:
        assert steps.stamps is not None
        moved = np.diff(steps.stamps)[np.diff(steps.codes) == 0]
        if len(moved) > 2 and not self.elapsed and moved.min() < moved.max():
            self.reading.warnings.append(
                f"{self.column} is not regular, its steps are {self.times.show(moved.min())} to"
                f" {self.times.show(moved.max())}: the network sees rows, not times;"
                " task.elapsed=true adds the time since the last row"
            )

    def _of(self, steps: Steps, place: int) -> str:
        return f" of {self.series} {shown(self.names[steps.codes[place]])}" if self.series else ""

    def _check_repeats(self, steps: Steps) -> None:
        """Refuse times that repeat within a series, and recognise interleaved series by them."""
        assert steps.stamps is not None
        same = (np.diff(steps.stamps) == 0) & (np.diff(steps.codes) == 0)
        if not same.any():
            return
        count, place = int(same.sum()), int(np.argmax(same))
        first, second = (self.reading.row(steps.origin[at]) for at in (place, place + 1))
        told = (
            f"{self.column} repeats in {count:,} rows, the first row {second}, which has the time"
            f" of row {first}{self._of(steps, place)}"
        )
        if self.gaps == "allow":
            self.reading.warnings.append(f"{told} (task.gaps=allow)")
            return
        often = np.unique(np.cumsum(np.concatenate([[True], ~same])), return_counts=True)[1]
        if (often > 1).mean() > 0.5:
            apart = self._tells_apart(steps)
            raise StudyError(
                f"task.time: {told}. Most times occur {int(np.median(often))} times: several series"
                " are interleaved, and task.series must name a column that tells them apart"
                + (f" ({' or '.join(apart)} would)" if apart else "")
            )
        raise StudyError(
            f"task.time: {told}; remove one, or task.gaps=allow keeps both in file order"
        )

    def _tells_apart(self, steps: Steps) -> list[str]:
        """Columns by which no time repeats within a series."""
        found = []
        assert steps.stamps is not None
        stamps = np.unique(steps.stamps, return_inverse=True)[1]
        for name in self.reading.table.columns:
            if name in (self.column, self.series):
                continue
            codes, texts = coded(names_of(self.reading.table.written(name)))
            if 1 < len(texts) <= len(codes) / 4:
                key = (steps.codes * len(texts) + codes[steps.origin]) * (stamps.max() + 1) + stamps
                if len(np.unique(key)) == len(key):
                    found.append(name)
        return found

    def _gaps(self, steps: Steps, between: timing.Between) -> str:
        """The sentence on gaps in a regular series, and on rows between the regular times."""
        assert steps.stamps is not None and between.step is not None
        told, unit = [], between.unit
        for places, what in ((between.gaps, "come late"), (between.early, "come early")):
            if len(places):
                place = int(places[0])
                apart = self.times.show(steps.stamps[place] - steps.stamps[place - 1])
                told.append(
                    f"{len(places):,} rows {what}, the first row"
                    f" {self.reading.row(steps.origin[place])}{self._of(steps, place)}, {apart}"
                    " after the row before it"
                )
        if len(between.gaps):
            told.append(f"{int(between.missing().sum()):,} rows are missing in all")
        if not told:
            return ""
        step = float(between.step[[*between.gaps, *between.early][0]])
        every = f"{step:g} {unit}" if unit else self.times.show(step)
        return f"{self.column} is regular, every {every}, but {'; '.join(told)}"

    def since(self, steps: Steps) -> np.ndarray:
        """The time since the last row [N], 0 in the first of a series; dates in seconds."""
        assert steps.stamps is not None
        since = np.diff(steps.stamps, prepend=steps.stamps[:1]).astype(np.float64)
        since[steps.begins] = 0
        return since / 1e6 if self.times.dates else since


def _filled(steps: Steps, between: timing.Between) -> Steps:
    """The steps with rows of NaN in the gaps."""
    if not len(between.gaps) or steps.stamps is None:
        return steps
    origin, stamps = timing.filled(between, steps.stamps)
    inside = origin >= 0
    follows: np.ndarray = np.cumsum(inside) - inside  # the next row that is there
    return Steps(
        np.where(inside[:, None], steps.values[follows], np.nan),
        steps.codes[follows],
        stamps,
        np.where(inside, steps.origin[follows], -1),
        steps.firsts,
    )


def several_series(name: str, values: np.ndarray, row: Any) -> str:
    """The sentence on a column whose values look like the times of several series; "" if not.

    `values`: [N] of a column that nobody named as time. row: numbers of rows in messages.
    """
    moved = np.diff(values)
    if len(values) < 8 or not np.isfinite(moved).all():
        return ""
    new = np.concatenate([[True], moved != 0])
    often = np.diff(np.flatnonzero(new), append=len(values))
    if bool((moved >= 0).all()) and often.min() == often.max() and 1 < often[0] < len(values) / 3:
        return (
            f"column {name} has each value in {often[0]} rows in turn: several series may be"
            " interleaved; task.series names the column that tells them apart"
        )
    starts = np.flatnonzero(moved < 0) + 1
    if not len(starts) or len(starts) > len(values) / 4:
        return ""
    again = values[starts] == values[0]
    if again.all() and (np.delete(moved, starts - 1) > 0).all():
        return (
            f"column {name} begins again in row {row(int(starts[0]))}: several series may follow"
            " one another; task.series names the column that tells them apart"
        )
    return ""


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first names of a list, in a sentence."""
    more = len(names) - most
    return f"{', '.join(map(repr, names[:most]))}{f' and {more} more' if more > 0 else ''}"
