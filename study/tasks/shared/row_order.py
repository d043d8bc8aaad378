"""Warns of rows that may be of several series, or in another order than that of time."""

from __future__ import annotations

import numpy as np

from study.tasks.shared.columns import Features
from study.tasks.shared.steps import Reading, back, several_series, shown
from study.tasks.shared.table_settings import TableSettings
from study.tasks.shared.times import looks_like_dates, out_of_order, times


def warn_of_order(
    settings: TableSettings, reading: Reading, found: Features, codes: np.ndarray, names: np.ndarray
) -> None:
    """Warn if rows of several series may be read as one, or unsorted.

    codes: [N], the series of each row; names: of the series.
    """
    if settings.series is not None:
        # an id that begins again further down may be another series
        first = np.concatenate([[True], np.diff(codes) != 0])
        again = first & (np.unique(codes, return_index=True)[1][codes] < np.arange(len(codes)))
        if again.any():
            row = int(again.argmax())
            reading.warnings.append(
                f"rows of {len(np.unique(codes[again])):,} series lie apart in the file, in row"
                f" {reading.row(row)} {settings.series} {shown(names[codes[row]])} begins again;"
                " they are read as one in the order of the file"
            )
        _warn_of_dates(settings, reading, found, codes)
        return
    for name, values in found.numbers.items():
        if len(values) > 2 and bool((np.diff(values) < 0).all()):
            reading.warnings.append(
                f"column {name} falls from row to row; if it is a time, the last rows come"
                f" first, and task.time={name} sorts them"
            )
        if told := several_series(name, values, reading.row):
            reading.warnings.append(told)
    _warn_of_dates(settings, reading, found, codes)


def _warn_of_dates(
    settings: TableSettings, reading: Reading, found: Features, codes: np.ndarray
) -> None:
    """Warn of columns of dates that say that rows lie in another order."""
    for name in found.left_out:
        column = reading.table.columns.get(name)
        if column is None:
            continue
        falls, other = out_of_order(column, codes)
        if other is not None:
            reading.warnings.append(
                f"column {name} holds dates, and row {reading.row(other)} has"
                f" {reading.table.cell(name, other)!r}; it is read as a step too"
            )
        dates = times(column) if looks_like_dates(column) else None
        if dates is None or len(dates.wrong):
            if falls:
                reading.warnings.append(f"the rows are not in the order of column {name}")
            continue
        repeated = len(dates.stamps) - len(np.unique(dates.stamps))
        if settings.series is None and repeated:
            reading.warnings.append(
                f"dates in column {name} repeat in {repeated:,} rows: several series may be"
                " interleaved; task.series names the column that tells them apart"
            )
        elif len(back(codes, dates.stamps, np.argsort(codes, kind="stable"))):
            reading.warnings.append(
                f"the rows are not in the order of column {name}; task.time={name} sorts them"
            )
