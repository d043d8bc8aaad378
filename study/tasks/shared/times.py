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
PIECE = 1 << 16  # dates that are parsed at once
YEARS = (1800, 2200)
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
    for kind in (pa.int64(), pa.float64()):
        cast = _cast(column, kind)
        if cast is None:
            continue
        found = np.require(cast.to_numpy(), requirements="W")
        dates = _figures(found) if found.dtype == np.int64 else None
        if dates is not None:
            return Times(dates[0], True, dates[1])
        return Times(found, False, np.flatnonzero(~np.isfinite(found)))
    stamps = _cast(column, pa.timestamp("us"))
    if stamps is not None:
        return Times(np.array(pc.cast(stamps, pa.int64()).to_numpy()), True, none)
    # numbers with gaps, or dates with time zones, blank or wrong cells
    text = names_of(column)
    read = numbers(text, Style())
    bad = np.isnan(read.values)
    if not bad.all():  # mostly numbers: a date among them is a mistake
        return Times(np.nan_to_num(read.values), False, np.flatnonzero(bad))
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


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    """Text as another type, chunk by chunk, since all of it once more would be large."""
    try:
        chunks = [pc.cast(names_of(pa.chunked_array([each])), kind) for each in column.chunks]
    except pa.ArrowInvalid:
        return None
    return pa.chunked_array([part for chunk in chunks for part in chunk.chunks], kind)


def _figures(found: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(stamps, wrong positions) of whole numbers that are dates, see DATE_FIGURES; None if many
    are something else."""
    if not len(found) or not (found > 0).all():
        return None
    size = len(str(int(found[0])))
    if size not in DATE_FIGURES or found.min() < 10 ** (size - 1) or found.max() >= 10**size:
        return None
    rising = bool((found[1:] > found[:-1]).all())
    distinct, codes = (found, None) if rising else np.unique(found, return_inverse=True)
    if len(distinct) < 2:
        return None
    pieces = np.array_split(distinct, len(distinct) // PIECE + 1)
    likely = np.concatenate([_likely(piece, size) for piece in pieces])
    if likely.mean() < LIKELY:
        return None
    parsed = np.concatenate([_parsed(piece, DATE_FIGURES[size]) for piece in pieces])
    wrong = np.isnat(parsed) | ~likely
    if 1 - wrong.mean() < LIKELY:
        return None
    stamps = parsed.astype(np.int64)
    return (
        (stamps, np.flatnonzero(wrong))
        if codes is None
        else (stamps[codes], np.flatnonzero(wrong[codes]))
    )


def _likely(figures: np.ndarray, size: int) -> np.ndarray:
    """Whether numbers of `size` figures begin with a year and a month."""
    years, months = figures // 10 ** (size - 4), figures // 10 ** (size - 6) % 100
    found: np.ndarray = (years >= YEARS[0]) & (years <= YEARS[1]) & (months >= 1) & (months <= 12)
    return found


def _parsed(figures: np.ndarray, form: str) -> np.ndarray:
    """Dates in microseconds, NaT where figures are none."""
    found = pd.to_datetime(pd.Series(figures.astype(str)), format=form, errors="coerce")
    return found.to_numpy().astype("datetime64[us]")


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
