"""Files of a table, text with separators or Parquet: every row has the fields of the header."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from study.records import StudyError
from study.tasks.shared.table import mark_name, names_of

SEPARATORS = (",", ";", "\t", "|")
BYTE_ORDER_MARKS = {  # UTF-32's begin with UTF-16's
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
UNSEEN = "\ufeff\u200b\u200e\u2060"  # characters that nobody sees around a name
BLOCK = 1 << 25  # bytes; a row must fit into one


@dataclass(frozen=True)
class Table:
    """columns: text as in the file (Parquet: of any type), by name; `row`: a row's line.

    Text that has been read as numbers is let go: see `keep`.
    """

    path: str
    columns: dict[str, pa.ChunkedArray]
    rows: int
    row: Callable[[int], int]
    left_out: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def keep(self, name: str, values: np.ndarray) -> None:
        """Hold numbers [N] instead of their text, which is longer."""
        if values.flags.c_contiguous:
            self.columns[name] = pa.chunked_array([pa.array(values)])

    def cell(self, name: str, row: int) -> object:
        return self.columns[name][row].as_py()


def read_table(path: str, *, separator: str, encoding: str | None) -> Table:
    """The table in a file; StudyError that names the line where it is none.

    `encoding` null: UTF-8, or what the file's byte order mark says.
    """
    try:
        data = Path(path).read_bytes()
        if data[:4] == b"PAR1" or Path(path).suffix.lower() in (".parquet", ".pq"):
            return _parquet(path, data, separator, encoding)
        data = _unpacked(path, data)
    except FileNotFoundError as error:
        raise StudyError(f"task.path: there is no file {path}") from error
    except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise StudyError(f"task.path: {path} cannot be read as CSV ({error})") from error
    text, warnings = _utf8(path, data, encoding)
    del data
    return _delimited(path, text, separator, warnings)


def _unpacked(path: str, data: bytes) -> bytes:
    """The file without its compression."""
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:3] == b"BZh":
        return bz2.decompress(data)
    if data[:6] == b"\xfd7zXZ\x00":
        return lzma.decompress(data)
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as files:
            inside = files.namelist()
            if any(name.startswith(("xl/", "content.xml")) for name in inside):
                raise StudyError(f"task.path: {path} is a workbook; save its sheet as CSV")
            if len(inside) != 1:
                raise StudyError(f"task.path: {path} holds {len(inside)} files; it must hold one")
            return files.read(inside[0])
    return data


# --- text -----------------------------------------------------------------------------------------


def _utf8(path: str, data: bytes, encoding: str | None) -> tuple[bytes, list[str]]:
    """(the file as UTF-8 without a byte order mark, warnings)."""
    warnings = []
    marked = next((name for bom, name in BYTE_ORDER_MARKS.items() if data.startswith(bom)), None)
    try:
        given = None if encoding is None else codecs.lookup(encoding).name
        b"x".decode(given or "utf-8")  # not every codec is an encoding of text
    except UnicodeError:  # two bytes a character
        pass
    except LookupError as error:
        raise StudyError(
            "task.encoding: must be the name of an encoding, such as utf-8, utf-16 or latin-1, got"
            f" {encoding!r}"
        ) from error
    if given is not None and marked is not None and given.split("-")[:2] != marked.split("-")[:2]:
        raise StudyError(
            f"task.encoding: {path} begins with the byte order mark of {marked}, not of {encoding};"
            " leave task.encoding out"
        )
    chosen = marked or given or "utf-8"
    if chosen in ("utf-8", "utf-8-sig"):
        data = data.removeprefix(codecs.BOM_UTF8)
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError as error:
                line = data.count(b"\n", 0, error.start) + 1
                byte = error.start - data.rfind(b"\n", 0, error.start)
                raise StudyError(
                    f"task.path: {path} is not UTF-8 text (line {line}, byte {byte}); save it as"
                    " UTF-8, or name its encoding, often task.encoding=latin-1 or utf-16"
                ) from error
    else:
        if marked is None and chosen[:3] != "utf" and not data.isascii():
            try:
                data.decode()
                warnings.append(
                    f"{Path(path).name} is valid UTF-8; task.encoding={encoding} may garble it"
                )
            except UnicodeDecodeError:
                pass
        if codecs.lookup(chosen).name == "iso8859-1" and re.search(rb"[\x80-\x9f]", data):
            warnings.append(
                f"{Path(path).name} has bytes that {encoding} has no characters for;"
                " task.encoding=cp1252 may be meant"
            )
        try:
            data = data.decode(chosen).removeprefix("\ufeff").encode()
        except UnicodeError as error:
            raise StudyError(
                f"task.encoding: {path} is not {encoding or chosen} text ({error})"
            ) from error
    if (place := data.find(b"\0")) >= 0:
        line = data.count(b"\n", 0, place) + 1
        wide = f"utf-16-{'le' if place % 2 else 'be'}"
        raise StudyError(
            f"task.path: {path} has a zero byte in line {line}; if it is UTF-16 text, set"
            f" task.encoding={wide}"
        )
    if b"\r" in data and b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    return data, warnings


@dataclass(frozen=True)
class _Record:
    line: int  # its first one, from 1
    last: int
    fields: list[str]
    end: int  # bytes up to here are read


def _records(path: str, data: bytes, separator: str) -> Iterator[_Record]:
    """The records of the text one by one; blank lines are skipped."""
    line, end = 0, 0

    def lines() -> Iterator[str]:
        nonlocal line, end
        for each in io.BytesIO(data):
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


def _delimited(path: str, data: bytes, separator: str, warnings: list[str]) -> Table:
    header = next(_records(path, data, separator), None)
    if header is None:
        raise StudyError(f"task.path: {path} cannot be read as CSV (it is empty)")
    names, told = _checked_header(
        path, [name.strip().strip(UNSEEN).strip() for name in header.fields], separator
    )
    warnings += told
    body = memoryview(data)[header.end :]
    first = data.count(b"\n", 0, header.end) + 1  # the line after the header
    lines: np.ndarray | None
    if len(names) == 1:
        columns, lines = _one_column(path, data[header.end :], names, separator, first)
    else:
        columns, lines, blank = _columns(path, data, body, names, header, separator)
        if blank:
            warnings.append(
                f"line {blank[0]} of {Path(path).name} is blank"
                f"{f', and {len(blank) - 1} others' if len(blank) > 1 else ''}; the rows before and"
                " after it are read as one table"
            )
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


def _columns(
    path: str, data: bytes, body: memoryview, names: list[str], header: _Record, separator: str
) -> tuple[list[pa.ChunkedArray], np.ndarray | None, list[int]]:
    """(columns of text, each row's line or None if rows and lines are the same, blank lines)."""
    quoted = data.find(b'"', header.end) >= 0
    columns = None
    if not (quoted and re.search(re.escape(separator.encode()) + rb'[ ]+"', body)):
        columns = _fast(body, len(names), separator, quoted)
    if columns is not None:
        ends = not len(body) or body[-1] == ord("\n")
        if data.count(b"\n", header.end) + (not ends) == len(columns[0]):
            return columns, None, []
    lines, blank, kept, last = list[int](), list[int](), list[list[str]](), header.last
    for record in _records(path, data, separator):
        if record.line == header.line:
            continue
        if len(record.fields) != len(names):
            raise StudyError(_ragged(path, record, names, separator))
        if record.last > record.line:
            _check_quotes(path, record, len(names), separator)
        blank += range(last + 1, record.line)
        last = record.last
        lines.append(record.line)
        kept += [record.fields] if columns is None else []
    if columns is None or len(columns[0]) != len(lines):
        kept = kept or [
            each.fields for each in _records(path, data, separator) if each.line > header.line
        ]
        columns = [
            pa.chunked_array([pa.array([fields[place] for fields in kept], pa.string())])
            for place in range(len(names))
        ]
    return columns, np.array(lines, dtype=np.int64), blank


def _fast(
    body: memoryview, count: int, separator: str, quoted: bool
) -> list[pa.ChunkedArray] | None:
    """The columns as Arrow's parser reads them; None if a row has more or fewer fields."""
    if not len(body):
        return None
    names = [str(number) for number in range(count)]
    longest = 40 * count  # a guess of a row's bytes
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(body),
            read_options=pyarrow.csv.ReadOptions(
                column_names=names, block_size=min(max(BLOCK, 8 * longest), 2**31 - 1)
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=separator, newlines_in_values=quoted, quote_char='"' if quoted else False
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                strings_can_be_null=False,
                check_utf8=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    return list(table.columns)


def _one_column(
    path: str, body: bytes, names: list[str], separator: str, first: int
) -> tuple[list[pa.ChunkedArray], np.ndarray]:
    """A table of one column, where a blank line is a missing value."""
    lines = body.decode().split("\n")
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


# --- headers --------------------------------------------------------------------------------------


def _checked_header(path: str, names: list[str], separator: str) -> tuple[list[str], list[str]]:
    """(names, those without one as Unnamed: 3, warnings); StudyError if this is no header."""
    if len(names) == 1:
        other = max(SEPARATORS, key=lambda mark: names[0].count(mark))
        if names[0].count(separator):
            raise StudyError(
                f"task.path: the header of {path} is one quoted field ({names[0][:60]!r}); save the"
                " table without quotes around whole lines"
            )
        if names[0].count(other):
            raise StudyError(
                f"task.separator: the header of {path} has no {mark_name(separator)} and"
                f" {names[0].count(other)} of {mark_name(other)}; set"
                f" task.separator={mark_name(other)}"
            )
    if names.count("") > max(len(names) / 2, 1):
        raise StudyError(
            f"task.path: the first line of {path} names {len(names) - names.count('')} of its"
            f" {len(names)} columns; it must be the header, with the columns' names"
        )
    names = [name or f"Unnamed: {number}" for number, name in enumerate(names)]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise StudyError(
                f"task.path: {path} has two columns named {name!r}, the"
                f" {names.index(name) + 1}. and the {number + 1}.; rename one"
            )
    found = [value for name in names if (value := _number(name)) is not None]
    if not found:
        return names, []
    # numbers are names of columns only where they count, as the steps of a row do
    steps = np.diff(found)
    even = len(found) > 2 and bool(steps[0] and np.allclose(steps, steps[0], rtol=1e-6))
    rising = len(found) > 2 and bool((steps > 0).all())
    whole = all(value.is_integer() and value >= 0 for value in found) and bool((steps > 0).all())
    dates = any(re.match(r"\d{4}-\d{2}-\d{2}", name) for name in names)
    if dates or not (even or rising or whole):
        raise StudyError(
            f"task.path: the first line of {path} looks like data"
            f" ({separator.join(names)[:60]!r}); a table needs a header with the columns' names"
        )
    if not even and len(found) > max(len(names) / 2, 2):
        return names, [
            f"the first line of {Path(path).name} is read as the header, and most of it are numbers"
        ]
    return names, []


def _number(name: str) -> float | None:
    try:
        value = float(name.replace(",", "."))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


# --- Parquet --------------------------------------------------------------------------------------


def _parquet(path: str, data: bytes, separator: str, encoding: str | None) -> Table:
    for key, value, default in (("separator", separator, ","), ("encoding", encoding, None)):
        if value != default:
            raise StudyError(
                f"task.{key}: a Parquet file has none; leave it out, got {mark_name(str(value))}"
            )
    try:
        table = pyarrow.parquet.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise StudyError(f"task.path: {path} cannot be read as Parquet ({error})") from error
    columns, left_out = {}, {}
    if len(set(table.column_names)) < len(table.column_names):
        twice = next(name for name in table.column_names if table.column_names.count(name) > 1)
        raise StudyError(f"task.path: {path} has two columns named {twice!r}; rename one")
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if pa.types.is_dictionary(kind):
            column = pa.chunked_array(
                [chunk.dictionary_decode() for chunk in column.chunks], kind.value_type
            )
            kind = column.type
        if name.startswith("__index_level_"):
            left_out[name] = "the index that pandas stores"
        elif pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            left_out[name] = f"it holds {kind}"
        elif pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            columns[name] = names_of(column.cast(pa.string()).fill_null(""))
        elif pa.types.is_string(kind):
            columns[name] = column.fill_null("")
        else:
            columns[name] = column
    if not table.num_rows:
        raise StudyError(f"task.path: {path} has columns and no rows")
    return Table(path, columns, table.num_rows, lambda row: row + 1, left_out)
