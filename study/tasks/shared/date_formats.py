"""Dates that are not written as ISO 8601, such as 31/01/2024."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from study.tasks.shared.names import names_of
from study.tasks.shared.times import LIKELY, PIECE, Times, times

ANOTHER = "; for dates in another form set task.date_format=%d/%m/%Y"
SOME = 1000  # cells that are tried first
_DAY = pd.Timestamp("2024-11-01")  # its month is no day's, and a month begins
_FIGURES = re.compile(
    r"\d{1,2}(?P<mark>[-/.])\d{1,2}(?P=mark)(?P<year>\d{4}|\d{2})"
    r"(?P<time>[T ]\d{1,2}:\d{2}(?P<second>:\d{2}(?P<part>\.\d+)?)?)?"
)


def is_format(form: object) -> bool:
    """Whether this says how a date is written, with its year and month."""
    try:
        return "%" in str(form) and pd.to_datetime(_DAY.strftime(str(form)), format=form) == _DAY
    except (ValueError, TypeError):
        return False


@dataclass(frozen=True)
class Dated:
    """A column of times, and in words: form, in which it was read though nobody named one; must,
    what its cells must be; remedy, the key that helps where some are not."""

    times: Times
    form: str | None = None
    must: str = "numbers or dates as 2024-01-31, all or none with a time zone"
    remedy: str = ""


def dated(column: pa.ChunkedArray, form: str | None) -> Dated:
    """Read a column as `times` does, or text in `form`; without one, also in the only form with
    day, month and year in figures that fits all cells."""
    if form is not None:
        if not pa.types.is_string(column.type):
            nowhere = Times(np.zeros(len(column), np.int64), True, np.arange(len(column)))
            return Dated(nowhere, must=f"text for task.date_format, it holds {column.type}")
        return Dated(_in_format(column, form), must=f"dates as {form} (task.date_format)")
    found = times(column)
    if not len(found.wrong) or not pa.types.is_string(column.type):
        return Dated(found)
    read = {each: _in_format(column, each) for each in _likely(column)}
    if not read:
        first = names_of(column.slice(int(found.wrong[0]), 1))[0].as_py()
        others = len(found.wrong) > LIKELY * len(column) and re.match(r"(?!\d{4}-\d\d).*\d", first)
        return Dated(found, remedy=ANOTHER if others else "")
    wrong = {each: len(one.wrong) for each, one in read.items()}
    best = min(wrong, key=lambda each: wrong[each])
    if list(wrong.values()).count(wrong[best]) == 1:
        return Dated(read[best], best, f"dates as 2024-01-31, or all as {best}")
    keys = " or ".join(f"task.date_format={_in_a_shell(each)}" for each in read)
    return Dated(found, remedy=f"; all of them can be read in {len(read)} ways, set {keys}")


def _in_a_shell(form: str) -> str:
    return f"'\"{form}\"'" if " " in form else form


def _in_format(column: pa.ChunkedArray, form: str) -> Times:
    stamps = np.concatenate([_parsed(texts, form) for texts in _texts(column)])
    return Times(stamps.astype(np.int64), True, np.flatnonzero(np.isnat(stamps)))


def _likely(column: pa.ChunkedArray) -> list[str]:
    """Forms with day, month and year in figures in which most cells are dates."""
    some = np.unique(np.linspace(0, len(column) - 1, SOME).astype(int))
    texts = names_of(column.take(pa.array(some))).to_pylist()
    found = _FIGURES.fullmatch(texts[0])
    if found is None:
        return []
    mark, year = found["mark"], "%Y" if len(found["year"]) == 4 else "%y"
    orders = [("%d", "%m", year), ("%m", "%d", year)]
    orders += [("%y", "%m", "%d")] if year == "%y" else []
    time = found["time"][0] + "%H:%M" if found["time"] else ""
    time += "" if found["second"] is None else ":%S"
    time += "" if found["part"] is None else ".%f"
    forms = [mark.join(order) + time for order in orders]
    return [form for form in forms if np.isnat(_parsed(texts, form)).mean() <= 1 - LIKELY]


def _texts(column: pa.ChunkedArray) -> Iterator[list[str]]:
    """The cells in pieces, since all of them as Python's texts would fill the memory."""
    for begin in range(0, len(column), PIECE):
        yield names_of(column.slice(begin, PIECE)).to_pylist()


def _parsed(texts: list[str], form: str) -> np.ndarray:
    """[n] in microseconds, NaT where there is no date of that format."""
    found = pd.to_datetime(
        pd.Series(texts, dtype=object), format=form, utc=True, errors="coerce"
    ).dt.tz_localize(None)
    return found.to_numpy().astype("datetime64[us]")
