"""Rows in time: order, stamps that repeat, gaps in a regular series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

DAY = 86_400_000_000  # microseconds
REGULAR = 0.9  # share of equal steps from which a series with odd steps counts as regular
SAMPLE = 10_000  # rows looked at first
JITTER = 0.1  # of a step; so far apart are steps that count as equal


@dataclass(frozen=True)
class Between:
    """The distances between rows that follow each other in a series.

    step: [N], the usual distance in a row's series on `clock` [N], which counts rows of a regular
    series; None if the rows come at no regular times. gaps: rows that come later than one step
    after the row before. early: rows that come sooner. unit: of the clock, such as "months".
    """

    clock: np.ndarray
    step: np.ndarray | None
    gaps: np.ndarray
    early: np.ndarray
    unit: str

    def missing(self) -> np.ndarray:
        """Rows that are missing before each of `gaps`."""
        assert self.step is not None
        apart = self.clock[self.gaps] - self.clock[self.gaps - 1]
        return np.round(apart / self.step[self.gaps] - 1).astype(int)


def steps_between(stamps: np.ndarray, begins: np.ndarray, *, dates: bool) -> Between:
    """Look for gaps; `stamps` are sorted within the series, whose first rows are `begins`."""
    none = np.array([], dtype=int)
    inside = np.ones(len(stamps), bool)
    inside[begins] = False
    unit, clock = _clock(stamps) if dates else ("", stamps)
    apart = np.diff(clock, prepend=clock[:1])
    rows = np.flatnonzero(inside & (apart > 0))
    if len(rows) < 3:
        return Between(clock, None, none, none, unit)
    moved = apart[rows]
    if moved.min() == moved.max():
        return Between(clock, np.broadcast_to(float(moved[0]), len(apart)), none, none, unit)
    step = _usual(apart, rows, begins)
    relative = moved / step[rows]
    near = float((np.abs(relative - 1) <= JITTER).mean())
    if near < REGULAR and not (near > 0.5 and _is_whole(relative)):
        return Between(clock, None, none, none, unit)
    return Between(clock, step, rows[relative > 1.5], rows[relative < 0.5], unit)


def _is_whole(relative: np.ndarray) -> bool:
    return bool((np.abs(relative - np.round(relative)) <= JITTER).all())


def _usual(apart: np.ndarray, rows: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """The median distance [N] of each row's series, or of all where a series has few."""
    moved = apart[rows]
    half = (len(moved) - 1) // 2
    median = float(np.partition(moved, half)[half])
    if len(begins) == 1:
        return np.broadcast_to(median, len(apart))
    series = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(apart)))
    moved = moved[np.lexsort((moved, series[rows]))]
    counts = np.bincount(series[rows], minlength=len(begins))
    middle = np.cumsum(counts) - counts + (counts - 1) // 2
    medians = np.where(counts >= 3, moved[np.clip(middle, 0, len(moved) - 1)], median)
    return medians[series].astype(float)


def _clock(stamps: np.ndarray) -> tuple[str, np.ndarray]:
    """Dates on the clock on which they may be regular: months and weekends are no gaps."""
    some = stamps[:: max(len(stamps) // SAMPLE, 1)]
    if len(some) == len(stamps) or _calendar(some)[0]:
        return _calendar(stamps)
    return "", stamps  # what does not hold for some does not hold for all


def _calendar(stamps: np.ndarray) -> tuple[str, np.ndarray]:
    days = (stamps // DAY).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    first = days - months.astype("datetime64[D]")
    last = (months + 1).astype("datetime64[D]") - days
    if (first == first[0]).all() or (last == last[0]).all():
        return "months", months.astype(np.int64)
    weekdays = (stamps // DAY + 3) % 7 < 5  # 1970-01-01 was a Thursday
    if (stamps % DAY == stamps[0] % DAY).all() and weekdays.all():
        return "weekdays", np.busday_count(np.datetime64("1970-01-01"), days)
    return "", stamps


def filled(between: Between, stamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row of each new row, -1 where it is inserted [N'], stamps [N']), without gaps."""
    counts = np.ones(len(stamps), dtype=int)
    counts[between.gaps] += between.missing()
    ends = np.cumsum(counts)
    origin = np.full(int(ends[-1]), -1)
    origin[ends - 1] = np.arange(len(stamps))
    # inserted rows lie before the row that follows them, at equal distances
    after = np.repeat(np.arange(len(stamps)), counts)
    back = ends[after] - 1 - np.arange(len(origin))
    apart = stamps[after] - stamps[np.maximum(after - 1, 0)]
    made = stamps[after] - np.where(back > 0, back * apart / counts[after], 0)
    return origin, np.where(back > 0, made, stamps[after]).astype(stamps.dtype)


def resampled(
    values: np.ndarray, codes: np.ndarray, stamps: np.ndarray, rule: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(values, codes, stamps) of the means over bins of `rule`; NaN where a bin has no row."""
    frame = pd.DataFrame(values)
    frame["stamp"] = stamps.astype("datetime64[us]")
    found = frame.groupby(codes, sort=True).resample(rule, on="stamp").mean()
    return (
        found.to_numpy(np.float64),
        found.index.get_level_values(0).to_numpy(),
        found.index.get_level_values(1).to_numpy().astype("datetime64[us]").astype(np.int64),
    )
