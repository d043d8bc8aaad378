"""Rows of a text file read in batches: numbers at once, text only where it is needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from study.tasks.shared.cells import Style
from study.tasks.shared.number_columns import SAMPLE, plain_numbers

BLOCK = 1 << 20  # bytes of a batch, more where a line needs it


@dataclass(frozen=True)
class Body:
    """The rows of a file behind its header, which ends at byte `begin`.

    open, arrow: the file as UTF-8 without a byte order mark. lines: of the body. block: bytes of a
    batch, into which each line fits. quoted: whether it has quotes. spaced: whether a quote follows
    a separator and blanks. returns: whether carriage returns stand without line feeds.
    """

    open: Callable[[], BinaryIO]
    arrow: Callable[[], pa.NativeFile]
    begin: int
    lines: int
    block: int
    quoted: bool
    spaced: bool
    returns: bool

    def rows(self) -> BinaryIO:
        file = self.open()
        file.read(self.begin)
        return file


def body_of(
    open_file: Callable[[], BinaryIO],
    arrow_file: Callable[[], pa.NativeFile],
    begin: int,
    separator: str,
) -> Body | None:
    """The body behind a header of `begin` bytes; None if the file is no UTF-8, or has zeros."""
    before_quotes = re.compile(re.escape(separator.encode()) + rb'[ ]+"')
    lines, block, last = 0, BLOCK, b"\n"
    quoted = spaced = returns = False
    with open_file() as file:
        for number, piece in enumerate(_pieces(file, begin)):
            if b"\0" in piece or not _is_utf8(piece):
                return None
            returns |= b"\r" in piece and piece.count(b"\r") > piece.count(b"\r\n")
            if not number:  # the header
                continue
            lines, last = lines + piece.count(b"\n"), piece[-1:]
            # a longer line would end so far behind a piece
            block = max(block, len(piece))
            if b'"' in piece:
                quoted, spaced = True, spaced or before_quotes.search(piece) is not None
    lines += last != b"\n"
    return Body(open_file, arrow_file, begin, lines, block, quoted, spaced, returns)


def _pieces(file: BinaryIO, begin: int) -> Iterator[bytes]:
    """The header, then whole lines."""
    yield file.read(begin)
    while piece := file.read(BLOCK):
        yield piece + (b"" if piece.endswith(b"\n") else file.readline())


def _is_utf8(piece: bytes) -> bool:
    if piece.isascii():
        return True
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True)
class Columns:
    """columns: by place, text or numbers; samples: of numbers, the text of some cells, evenly
    spaced from the first row; rows: that there are. Where they are more or fewer than was said,
    nothing else holds."""

    columns: dict[int, pa.ChunkedArray]
    samples: dict[int, pa.ChunkedArray]
    rows: int


def in_batches(
    body: Body,
    fields: int,
    separator: str,
    style: Style,
    text: Collection[int],
    rows: int,
    places: Sequence[int] | None = None,
) -> Columns | None:
    """The columns of rows of `fields` fields; None if a row has more or fewer.

    `text`: places of columns that stay text; others are numbers where they hold nothing else.
    rows: how many there will be. places: of the columns to read, None for all.
    """
    places = range(fields) if places is None else places
    try:
        found = _read(body, fields, separator, style, text, places, rows)
        late = [place for place in places if place not in found.columns]
        if late and found.rows == rows:
            again = _read(body, fields, separator, style, late, late, rows)
            found.columns.update(again.columns)
    except pa.ArrowInvalid:
        return None
    return found


def _read(
    body: Body,
    fields: int,
    separator: str,
    style: Style,
    text: Collection[int],
    places: Sequence[int],
    rows: int,
) -> Columns:
    """The columns at `places`, without those that turn out to be text below the first batch."""
    kept: dict[int, list[pa.Array]] = {place: [] for place in text}
    values: dict[int, np.ndarray] = {}
    samples: dict[int, list[pa.Array]] = {}
    some = np.unique(np.linspace(0, max(rows - 1, 0), SAMPLE).astype(int))
    row = 0
    with _opened(body, fields, separator, places) as reader:
        for batch in reader:
            first, row = row, row + len(batch)
            if row > rows:
                continue
            here = pa.array(some[np.searchsorted(some, first) : np.searchsorted(some, row)] - first)
            for place, column in zip(places, batch.columns, strict=True):
                if place in kept:
                    kept[place].append(column)
                    continue
                if first and place not in values:
                    continue
                read = plain_numbers(pa.chunked_array([column]), style)
                if read is None and not first:
                    kept[place] = [column]
                elif read is None:
                    del values[place], samples[place]
                else:
                    if not first:
                        values[place], samples[place] = np.empty(rows), []
                    values[place][first:row] = read
                    samples[place].append(column.take(here))
    pa.default_memory_pool().release_unused()
    columns = {place: pa.chunked_array(chunks, pa.string()) for place, chunks in kept.items()}
    columns |= {place: pa.chunked_array([pa.array(found)]) for place, found in values.items()}
    return Columns(
        columns, {place: pa.chunked_array(chunks) for place, chunks in samples.items()}, row
    )


def _opened(
    body: Body, fields: int, separator: str, places: Sequence[int]
) -> pyarrow.csv.CSVStreamingReader:
    file = body.arrow()
    file.read(body.begin)
    names = [str(place) for place in range(fields)]
    longest = 40 * fields  # a guess of a row's bytes
    return pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(
            column_names=names, block_size=min(max(body.block, 8 * longest), 2**31 - 1)
        ),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=separator,
            newlines_in_values=body.quoted,
            quote_char='"' if body.quoted else False,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            include_columns=[names[place] for place in places],
            strings_can_be_null=False,
            check_utf8=False,
        ),
    )
