"""Text with separators: every row has the fields of the header."""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from study.records import StudyError
from study.tasks.shared.batches import Body, body_of, in_batches
from study.tasks.shared.cells import Style
from study.tasks.shared.encodings import opened, utf8, utf8_file
from study.tasks.shared.headers import checked_header
from study.tasks.shared.table import Table

UNSEEN = "\ufeff\u200b\u200e\u2060"  # characters that nobody sees around a name
UTF8 = (None, "utf-8", "utf8", "utf-8-sig")


def delimited(
    path: str, *, separator: str, encoding: str | None, style: Style, text: Collection[str]
) -> Table:
    """The table in a text file; see `read_table`."""
    header, body, warnings = _parted(path, separator, encoding)
    names, told = checked_header(
        path, [name.strip().strip(UNSEEN).strip() for name in header.fields], separator
    )
    warnings += told
    first = header.last + 1
    columns: Sequence[pa.ChunkedArray]
    lines: np.ndarray | None
    if len(names) == 1:
        columns, lines = _one_column(path, body, names, separator, first)
        return _table(path, names, columns, first, lines, warnings)
    places = [place for place, name in enumerate(names) if name in text]
    read = partial(in_batches, body, len(names), separator, style)
    found, lines = (None if body.spaced else read(places, body.lines)), None
    if found is None or found.rows != body.lines or body.returns:
        lines, blank = _lines(path, body, header, len(names), separator)
        if blank:
            warnings.append(
                f"line {blank[0]} of {Path(path).name} is blank"
                f"{f', and {len(blank) - 1} others' if len(blank) > 1 else ''}; the rows before and"
                " after it are read as one table"
            )
        if found is None or found.rows != len(lines):
            columns = _texts(path, body, header, len(names), separator)
            return _table(path, names, columns, first, lines, warnings)
        if found.rows != body.lines:
            found = read(places, found.rows)
    assert found is not None
    rows = found.rows

    def reread(name: str) -> pa.ChunkedArray:
        place = names.index(name)
        again = read([place], rows, [place])
        assert again is not None
        return again.columns[place]

    columns = [found.columns[place] for place in range(len(names))]
    samples = {names[place]: sample for place, sample in found.samples.items()}
    table = _table(path, names, columns, first, lines, warnings)
    return replace(table, samples=samples, reread=reread)


def _table(
    path: str,
    names: Sequence[str],
    columns: Sequence[pa.ChunkedArray],
    first: int,
    lines: np.ndarray | None,
    warnings: Sequence[str],
) -> Table:
    """first: the line of the first row; lines: of each row, None if one follows another."""
    rows = len(columns[0])
    if not rows:
        raise StudyError(f"task.path: {path} has a header and no rows")
    return Table(
        path,
        dict(zip(names, columns, strict=True)),
        rows,
        (lambda row: first + row) if lines is None else (lambda row: int(lines[row])),
        warnings=tuple(warnings),
    )


def _parted(path: str, separator: str, encoding: str | None) -> tuple[_Record, Body, list[str]]:
    """(header, body, warnings), of a file that is opened again and again if it is UTF-8; what is
    not is read into memory."""
    header: _Record | None
    body: Body | None
    header = body = None
    if encoding in UTF8:
        open_file = partial(utf8_file, path)
        try:
            header = next(_records(path, open_file, separator), None)
            body = None if header is None else body_of(open_file, header.end, separator)
        except (StudyError, UnicodeDecodeError):
            pass  # refused below, where there are better reasons
        if header is not None and body is not None and not body.returns:
            return header, body, []
    with opened(path) as file:
        data, warnings = utf8(path, file.read(), encoding)
    in_memory = partial(io.BytesIO, data)
    header = next(_records(path, in_memory, separator), None)
    if header is None:
        raise StudyError(f"task.path: {path} cannot be read as CSV (it is empty)")
    body = body_of(in_memory, header.end, separator)
    assert body is not None
    return header, body, warnings


def _lines(
    path: str, body: Body, header: _Record, fields: int, separator: str
) -> tuple[np.ndarray, list[int]]:
    """(each row's line, blank lines); StudyError if a row has more or fewer fields."""
    lines, blank, last = array("q"), list[int](), header.last
    for record in _rows(path, body, header, separator):
        if len(record.fields) != fields:
            raise StudyError(_ragged(path, record, header.fields, separator))
        if record.last > record.line:
            _check_quotes(path, record, fields, separator)
        blank += range(last + 1, record.line)
        last = record.last
        lines.append(record.line)
    return np.array(lines, dtype=np.int64), blank


def _texts(
    path: str, body: Body, header: _Record, fields: int, separator: str
) -> list[pa.ChunkedArray]:
    """The columns, read row by row."""
    rows = [record.fields for record in _rows(path, body, header, separator)]
    return [
        pa.chunked_array([pa.array([row[place] for row in rows], pa.string())])
        for place in range(fields)
    ]


@dataclass(frozen=True)
class _Record:
    line: int  # its first one, from 1
    last: int
    fields: list[str]
    end: int  # bytes up to here are read


def _rows(path: str, body: Body, header: _Record, separator: str) -> Iterator[_Record]:
    """The records below the header."""
    records = _records(path, body.open, separator)
    return (record for record in records if record.line > header.line)


def _records(path: str, open_file: Callable[[], BinaryIO], separator: str) -> Iterator[_Record]:
    """The records of the text one by one; blank lines are skipped."""
    line, end = 0, 0

    def lines() -> Iterator[str]:
        nonlocal line, end
        with open_file() as file:
            for each in file:
                line, end = line + 1, end + len(each)
                yield each.decode()

    reader = csv.reader(lines(), delimiter=separator, skipinitialspace=True, strict=True)
    begin = 1
    try:
        for fields in reader:
            if len(fields) > 1 or (fields and (fields[0].strip())):
                yield _Record(begin, line, fields, end)
            begin = line + 1
    except csv.Error as error:
        raise StudyError(
            f"task.path: {path} cannot be read as CSV (line {begin}: {error}); a quote that opens a"
            " field must close it"
        ) from error


def _one_column(
    path: str, body: Body, names: list[str], separator: str, first: int
) -> tuple[list[pa.ChunkedArray], np.ndarray]:
    """A table of one column, where a blank line is a missing value."""
    with body.rows() as file:
        lines = file.read().decode().split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    values = [line.strip() for line in lines]
    for number, line in enumerate(values, start=first):
        if separator in line and line[0] != '"':
            raise StudyError(
                _ragged(path, _Record(number, number, line.split(separator), 0), names, separator)
            )
    values = [
        line[1:-1].replace('""', '"') if len(line) > 1 and line[0] == line[-1] == '"' else line
        for line in values
    ]
    column = pa.chunked_array([pa.array(values, pa.string())])
    return [column], np.arange(first, first + len(values))


def _ragged(path: str, record: _Record, names: list[str], separator: str) -> str:
    """The sentence on a row with more or fewer fields than the header."""
    fields, count = record.fields, len(names)
    shown = separator.join(fields)
    what = (
        f"task.path: {path} cannot be read as CSV: line {record.line} has {len(fields)}"
        f" field{'s' if len(fields) != 1 else ''}, the header has {count}"
        f" ({shown[:60]!r}{'…' if len(shown) > 60 else ''})"
    )
    if count == 1 and re.fullmatch(r"-?\d+,\d+", shown):
        return f"{what}; for decimal commas set task.separator=semicolon task.decimal=comma"
    if count == 1 or names[0].lower().startswith("sep="):
        return f"{what}; the first line must be the header, with the columns' names"
    if len(fields) > count and not fields[-1].strip():
        return f"{what}; it ends with a separator"
    if len(fields) > count and separator == "," and re.search(r"\d,\d", shown):
        return (
            f"{what}; a decimal comma needs quotes around the number, or another separator, and"
            " task.decimal=comma"
        )
    if len(fields) < count:
        return f"{what}; a field without a value must be written as an empty one"
    return what


def _check_quotes(path: str, record: _Record, count: int, separator: str) -> None:
    """Refuse a field that has swallowed whole rows, since its quote was never closed."""
    for value in record.fields:
        if any(line.count(separator) >= count - 1 for line in value.split("\n")[1:]):
            raise StudyError(
                f"task.path: {path} cannot be read as CSV: a field of line {record.line} holds"
                " whole rows; a quote is opened there and not closed"
            )
