"""Text with separators: every row has the fields of the header."""

from __future__ import annotations

import io
from array import array
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from study.records import StudyError
from study.tasks.shared.batches import Body, body_of, in_batches
from study.tasks.shared.cells import Style
from study.tasks.shared.encodings import arrow_bytes, arrow_file, opened, utf8, utf8_file
from study.tasks.shared.headers import checked_header
from study.tasks.shared.rows import Record, check_quotes, ragged, records
from study.tasks.shared.table import Table

UNSEEN = "\ufeff\u200b\u200e\u2060"  # characters that nobody sees around a name
UTF8 = (None, "utf-8", "utf8", "utf-8-sig")
ROW_NAMES = "Unnamed: 0"  # as pandas names a first column without a name


@dataclass(frozen=True)
class _Text:
    """A text file: its header, what is below it, and the names of its columns.

    first: its first row. row_names: whether that begins with a name for which the header has none.
    """

    path: str
    separator: str
    header: Record
    body: Body
    names: list[str]
    first: Record
    row_names: bool = False

    def rows(self) -> Iterator[Record]:
        return _below(self.path, self.body, self.header, self.separator)

    def refuse(self, record: Record) -> None:
        """Refuse a row that has not the fields of the header."""
        if self.row_names and len(record.fields) < len(self.names):
            raise StudyError(
                f"task.path: {self.path} cannot be read as CSV: line {record.line} has"
                f" {len(record.fields)} fields, the rows above it {len(self.names)}, the first of"
                " them the name of the row, as R writes it"
            )
        first = record.line == self.first.line
        raise StudyError(ragged(self.path, record, self.header.fields, self.separator, first=first))


def delimited(
    path: str, *, separator: str, encoding: str | None, style: Style, text: Collection[str]
) -> Table:
    """The table in a text file; see `read_table`."""
    header, body, warnings = _parted(path, separator, encoding)
    names, told = checked_header(
        path, [name.strip().strip(UNSEEN).strip() for name in header.fields], separator
    )
    warnings += told
    first = next(_below(path, body, header, separator), None)
    if first is None:
        raise StudyError(f"task.path: {path} has a header and no rows")
    file = _Text(path, separator, header, body, names, first)
    if _has_row_names(file):
        file = replace(file, names=[ROW_NAMES, *names], row_names=True)
        warnings.append(
            f"the rows of {Path(path).name} have one field more than its header: the first one is"
            f" read as the name of the row, as R writes it, in column {ROW_NAMES}"
        )
    table = _one_column(file) if len(file.names) == 1 else _columns(file, style, text, warnings)
    if file.row_names:
        _check_row_names(file, table)
    return replace(table, warnings=tuple(warnings))


def _columns(file: _Text, style: Style, text: Collection[str], warnings: list[str]) -> Table:
    """The table in batches, or where its rows are not its lines, row by row."""
    body, names = file.body, file.names
    places = [n for n, name in enumerate(names) if name in text or (file.row_names and not n)]
    read = partial(in_batches, body, len(names), file.separator, style)
    found = None if body.spaced else read(places, body.lines)
    lines = None
    if found is None or found.rows != body.lines or body.returns:
        lines, blank = _lines(file)
        if blank:
            warnings.append(
                f"line {blank[0]} of {Path(file.path).name} is blank"
                f"{f', and {len(blank) - 1} others' if len(blank) > 1 else ''}; the rows before and"
                " after it are read as one table"
            )
        if found is None or found.rows != len(lines):
            return _table(file, _texts(file), lines)
        if found.rows != body.lines:
            found = read(places, found.rows)
    assert found is not None
    rows = found.rows

    def reread(name: str) -> pa.ChunkedArray:
        place = names.index(name)
        again = read([place], rows, [place])
        assert again is not None
        return again.columns[place]

    table = _table(file, [found.columns[place] for place in range(len(names))], lines)
    samples = {names[place]: sample for place, sample in found.samples.items()}
    return replace(table, samples=samples, reread=reread)


def _table(file: _Text, columns: Sequence[pa.ChunkedArray], lines: np.ndarray | None) -> Table:
    """lines: of each row, None if they follow one another."""
    below = file.header.last + 1
    return Table(
        file.path,
        dict(zip(file.names, columns, strict=True)),
        len(columns[0]),
        (lambda row: below + row) if lines is None else (lambda row: int(lines[row])),
    )


def _has_row_names(file: _Text) -> bool:
    """Whether the first row has one field more than the header, and that is surely its name: R
    writes it in quotes as it does the header, or else as a number that counts. Between commas such
    a number may be the half of one, as in 1,5."""
    fields = file.first.fields
    if len(fields) != len(file.header.fields) + 1 or not fields[-1].strip():
        return False
    if ROW_NAMES in file.names:
        return False
    with file.body.open() as text:
        head = text.read(file.header.end)
        row = next((line for line in text if line.strip()), b"")
    if row.lstrip().startswith(b'"'):
        return head.lstrip().startswith(b'"')
    return file.separator != "," and fields[0].strip() == "1"


def _check_row_names(file: _Text, table: Table) -> None:
    """Refuse a first field that repeats, or does not count: it names no row."""
    column = pc.utf8_trim_whitespace(table.columns[ROW_NAMES])
    with file.body.rows() as text:
        quoted = next((line for line in text if line.strip()), b"").lstrip().startswith(b'"')
    names = pc.count_distinct(column).as_py() == table.rows
    if not quoted:
        numbers = pa.chunked_array([np.arange(1, table.rows + 1)])
        names = column.equals(pa.chunked_array(pc.cast(numbers, pa.string()).chunks))
    if not names:
        file.refuse(file.first)


def _parted(path: str, separator: str, encoding: str | None) -> tuple[Record, Body, list[str]]:
    """(header, body, warnings), of a file that is opened again and again if it is UTF-8; what is
    not is read into memory."""
    header: Record | None
    body: Body | None
    header = body = None
    if encoding in UTF8:
        open_file = partial(utf8_file, path)
        try:
            header = next(records(path, open_file, separator), None)
            body = (
                None
                if header is None
                else body_of(open_file, partial(arrow_file, path), header.end, separator)
            )
        except (StudyError, UnicodeDecodeError):
            pass  # refused below, where there are better reasons
        if header is not None and body is not None and not body.returns:
            return header, body, []
    with opened(path) as file:
        data, warnings = utf8(path, file.read(), encoding)
    in_memory = partial(io.BytesIO, data)
    header = next(records(path, in_memory, separator), None)
    if header is None:
        raise StudyError(f"task.path: {path} cannot be read as CSV (it is empty)")
    body = body_of(in_memory, partial(arrow_bytes, data), header.end, separator)
    assert body is not None
    return header, body, warnings


def _below(path: str, body: Body, header: Record, separator: str) -> Iterator[Record]:
    """The records below the header."""
    found = records(path, body.open, separator)
    return (record for record in found if record.line > header.line)


def _lines(file: _Text) -> tuple[np.ndarray, list[int]]:
    """(each row's line, blank lines); StudyError if a row has more or fewer fields."""
    lines, blank, last = array("q"), list[int](), file.header.last
    for record in file.rows():
        if len(record.fields) != len(file.names):
            file.refuse(record)
        if record.last > record.line:
            check_quotes(file.path, record, len(file.names), file.separator)
        blank += range(last + 1, record.line)
        last = record.last
        lines.append(record.line)
    return np.array(lines, dtype=np.int64), blank


def _texts(file: _Text) -> list[pa.ChunkedArray]:
    """The columns, read row by row."""
    rows = [record.fields for record in file.rows()]
    return [
        pa.chunked_array([pa.array([row[place] for row in rows], pa.string())])
        for place in range(len(file.names))
    ]


def _one_column(file: _Text) -> Table:
    """A table of one column, where a blank line is a missing value."""
    with file.body.rows() as text:
        lines = text.read().decode().split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    values = [line.strip() for line in lines]
    for number, line in enumerate(values, start=file.header.last + 1):
        if file.separator in line and line[0] != '"':
            file.refuse(Record(number, number, line.split(file.separator), 0))
    values = [
        line[1:-1].replace('""', '"') if len(line) > 1 and line[0] == line[-1] == '"' else line
        for line in values
    ]
    return _table(file, [pa.chunked_array([pa.array(values, pa.string())])], None)
