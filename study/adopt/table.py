"""Runs in a table, one per row: a CSV or Parquet file, or a frame."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from study.adopt.source import Source, digest_of
from study.records import StudyError

SEPARATORS = (",", ";", "\t", "|")


def of_file(path: Path) -> Source:
    """The runs of a CSV or Parquet file."""
    data = path.read_bytes()
    kind = "parquet" if data[:4] == b"PAR1" else "csv"
    rows, lines = _parquet(path.name, data) if kind == "parquet" else _delimited(path.name, data)
    if rows.empty:
        raise StudyError(f"{path.name}: has no rows")
    word = "line" if kind == "csv" else "row"
    where = [f"{word} {line}" for line in lines]
    return Source(path.name, kind, digest_of([data]), rows, where)


def of_frame(frame: pd.DataFrame) -> Source:
    """The runs of a frame; rows are called by their labels."""
    if frame.empty:
        raise StudyError("study.adopt: the frame has no rows")
    where = [f"row {label}" for label in frame.index]
    rows = _plain(frame.reset_index(drop=True), "the frame")
    digest = digest_of([rows.to_csv(index=False).encode()])
    return Source("a frame", "frame", digest, rows, where)


def _parquet(name: str, data: bytes) -> tuple[pd.DataFrame, list[int]]:
    try:
        frame = pd.read_parquet(io.BytesIO(data))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StudyError(f"{name}: not readable as Parquet ({error})") from error
    return _plain(frame.reset_index(drop=True), name), list(range(1, len(frame) + 1))


def _delimited(name: str, data: bytes) -> tuple[pd.DataFrame, list[int]]:
    """(texts as in the file, the line of each row); lines without any field are left out."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudyError(f"{name}: is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    header = text.lstrip().partition("\n")[0]
    separator = max(SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    line = 1
    try:
        for fields in reader:
            if any(one.strip() for one in fields):
                rows.append([one.strip() for one in fields])
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise StudyError(f"{name}: not readable as CSV (line {line}: {error})") from error
    if not rows:
        raise StudyError(f"{name}: is empty")
    columns = rows[0]
    for fields, at in zip(rows[1:], lines[1:], strict=True):
        if len(fields) != len(columns):
            raise StudyError(
                f"{name}: line {at} has {len(fields)} fields, the header has {len(columns)}"
            )
    frame = pd.DataFrame(rows[1:], columns=columns, dtype=object)
    return _plain(frame, name), lines[1:]


def _plain(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Texts, Python's numbers and truth values, and None; columns called by texts, each once."""
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    if twice := list(frame.columns[frame.columns.duplicated()]):
        raise StudyError(f"{name}: has the column {twice[0]!r} twice")
    if "" in frame.columns:
        raise StudyError(f"{name}: has a column without a name")
    return pd.DataFrame(
        {column: pd.Series([plain(one) for one in frame[column]], dtype=object) for column in frame}
    )


def plain(value: object) -> object:
    """A cell as Python's own value; None for every kind of missing."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float) and value != value:
        return None
    return value if isinstance(value, str | int | float | bool) else str(value)
