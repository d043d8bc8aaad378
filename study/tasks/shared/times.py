"""Columns of times: numbers, or dates in their writings."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from study.tasks.shared.cells import Style
from study.tasks.shared.names import coded, names_of
from study.tasks.shared.number_columns import numbers

LIKELY = 0.9  # share of figures that are dates, from which the others are mistakes
_FIGURES = r"^(\d{1,2})[-/.](\d{1,2})[-/.]\d{2,4}\b"
_DATE = (  # and with names of months
    r"(?i)^(?:\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?"
    r"|(?=.*\d)[^a-z]*(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[^a-z]*)$"
)
ZONE = re.compile(r"[T ]\d{1,2}[\d:.,]*\s*(?:Z|[+-]\d{2}(?::?\d{2})?)$", re.IGNORECASE)
# 202401, 20240131, and with hours, minutes, seconds
DATE_FIGURES = {6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


@dataclass(frozen=True)
class Times:
    """stamps: [N], numbers, or microseconds if `dates`. wrong: positions of cells with neither."""

    stamps: np.ndarray
    dates: bool
    wrong: np.ndarray

    def show(self, amount: float) -> str:
        """A distance in time, to be read."""
        if not self.dates:
            return f"{amount:.15g}"
        return (
            str(pd.Timedelta(int(amount), "us")).removesuffix(" 00:00:00").removeprefix("0 days ")
        )


def times(column: pa.ChunkedArray) -> Times:
    """Read a column as numbers or as ISO 8601 dates; figures such as 20240131 are dates."""
    none = np.array([], dtype=int)
    if pa.types.is_temporal(column.type):
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            stamps = pc.cast(column, pa.timestamp("us"), safe=False)
            wrong = np.flatnonzero(pc.is_null(column).to_numpy())
            return Times(pc.cast(stamps, pa.int64()).fill_null(0).to_numpy(), True, wrong)
        return Times(np.zeros(len(column)), False, np.arange(len(column)))
    text = names_of(column)
    for kind in (pa.int64(), pa.float64()):
        try:
            found = np.array(pc.cast(text, kind).to_numpy())
        except pa.ArrowInvalid:
            continue
        dates = _figures(found) if found.dtype == np.int64 else None
        if dates is not None:
            return Times(dates[0], True, dates[1])
        return Times(found, False, np.flatnonzero(~np.isfinite(found)))
    read = numbers(text, Style())
    bad = np.isnan(read.values)
    if not bad.all():  # mostly numbers: a date among them is a mistake
        return Times(np.nan_to_num(read.values), False, np.flatnonzero(bad))
    try:
        stamps = pc.cast(text, pa.timestamp("us"))
        return Times(np.array(pc.cast(stamps, pa.int64()).to_numpy()), True, none)
    except pa.ArrowInvalid:
        pass  # with time zones, blank or wrong cells
    codes, texts = coded(text)
    zoned = np.array([ZONE.search(each) is not None for each in texts])
    parsed = pd.Series(
        pd.to_datetime(pd.Series(texts, dtype=object), format="ISO8601", utc=True, errors="coerce")
    )
    bad = np.array(parsed.isna())
    # a time without a zone beside times with one may be hours away
    if zoned[~bad].any():
        bad |= ~zoned
    wrong = np.flatnonzero(bad[codes])
    stamps = parsed.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    return Times(stamps[codes], True, wrong)


def _figures(found: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(stamps, wrong positions) of whole numbers that are dates, see DATE_FIGURES; None if many
    are something else."""
    if not len(found) or not (found > 0).all():
        return None
    size = len(str(int(found[0])))
    if size not in DATE_FIGURES or found.min() < 10 ** (size - 1) or found.max() >= 10**size:
        return None
    distinct, codes = np.unique(found, return_inverse=True)
    if len(distinct) < 2:
        return None
    years, months = distinct // 10 ** (size - 4), distinct // 10 ** (size - 6) % 100
    likely = (years >= 1800) & (years <= 2200) & (months >= 1) & (months <= 12)
    if likely.mean() < LIKELY:
        return None
    parsed = pd.to_datetime(
        pd.Series(distinct.astype(str)), format=DATE_FIGURES[size], errors="coerce"
    )
    wrong = np.array(parsed.isna()) | ~likely
    if 1 - wrong.mean() < LIKELY:
        return None
    stamps = parsed.to_numpy().astype("datetime64[us]").astype(np.int64)
    return stamps[codes], np.flatnonzero(wrong[codes])


def looks_like_dates(column: pa.ChunkedArray) -> bool:
    """Whether a text column holds dates, judged by its first cells."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return True
    if not pa.types.is_string(column.type):
        return False
    first = [text for text in column.slice(0, 20).to_pylist() if text and text.strip()]
    iso = all(re.match(r"\s*\d{4}-\d{2}(-\d{2})?([T ]\d{2}:\d{2}.*)?\s*$", text) for text in first)
    return bool(first) and iso


def out_of_order(column: pa.ChunkedArray, series: np.ndarray) -> tuple[bool, int | None]:
    """(whether a text column holds dates, with the month in any place, that do not rise within
    series, codes [N]; the first cell that is none among dates)."""
    if not pa.types.is_string(column.type) or len(column) < 3:
        return False, None
    first = names_of(column.slice(0, 20)).to_pylist()
    if sum(re.search(_DATE, text) is not None for text in first) < len(first) / 2:
        return False, None
    codes, texts = coded(names_of(column))
    stamps = [_stamps(texts, dayfirst=dayfirst) for dayfirst in (True, False)]
    other = np.minimum(*(np.isnan(each) for each in stamps))[codes]
    if other.mean() > 0.1:
        return False, None
    order = np.argsort(series, kind="stable")
    order = order[~other[order]]
    inside = np.diff(series[order]) == 0
    rising = [
        bool((np.diff(each[codes[order]])[inside] >= 0).all())
        for each in stamps
        if not np.isnan(each[codes[order]]).any()
    ]
    return bool(rising) and not any(rising), int(np.argmax(other)) if other.any() else None


def _stamps(texts: list[str], *, dayfirst: bool) -> np.ndarray:
    """[N], of text that may be a date, NaN where it is none; 3/4/2024 has two readings."""
    dates = pd.Series(texts, dtype=object)
    likely = dates.str.contains(_DATE)
    read = pd.to_datetime(
        dates.where(likely), format="mixed", dayfirst=dayfirst, utc=True, errors="coerce"
    )
    stamps = read.dt.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.float64)
    figures = dates.str.extract(_FIGURES).apply(pd.to_numeric).to_numpy(np.float64)
    # pandas reads 31/12/2024 whatever dayfirst says
    month = figures[:, 1 if dayfirst else 0]
    return np.where(read.isna() | (month > 12), np.nan, stamps)
