"""Files of a table, text with separators or Parquet."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from study.records import StudyError
from study.tasks.shared.cells import Style, mark_name
from study.tasks.shared.delimited import delimited
from study.tasks.shared.names import names_of
from study.tasks.shared.table import Table


def read_table(
    path: str, *, separator: str, encoding: str | None, style: Style, text: Collection[str] = ()
) -> Table:
    """The table in a file; StudyError that names the line where it is none.

    `encoding` null: UTF-8, or what the file's byte order mark says. `text`: columns that are text
    whatever they hold; others are numbers where they hold nothing else.
    """
    try:
        with Path(path).open("rb") as file:
            parquet = file.read(4) == b"PAR1"
        if parquet or Path(path).suffix.lower() in (".parquet", ".pq"):
            return _parquet(path, separator, encoding)
        return delimited(path, separator=separator, encoding=encoding, style=style, text=text)
    except FileNotFoundError as error:
        raise StudyError(f"task.path: there is no file {path}") from error
    except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile, zlib.error) as error:
        raise StudyError(f"task.path: {path} cannot be read as CSV ({error})") from error


def _parquet(path: str, separator: str, encoding: str | None) -> Table:
    for key, value, default in (("separator", separator, ","), ("encoding", encoding, None)):
        if value != default:
            raise StudyError(
                f"task.{key}: a Parquet file has none; leave it out, got {mark_name(str(value))}"
            )
    try:
        table = pyarrow.parquet.read_table(path)
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
