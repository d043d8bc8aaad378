"""Rows of a text file one by one, and what may be wrong with them."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from study.records import StudyError
from study.tasks.shared.cells import mark_name


@dataclass(frozen=True)
class Record:
    line: int  # its first one, from 1
    last: int
    fields: list[str]
    end: int  # bytes up to here are read


def records(path: str, open_file: Callable[[], BinaryIO], separator: str) -> Iterator[Record]:
    """The records of the text one by one; blank lines are skipped."""
    line, end, text, header = 0, 0, "", True

    def lines() -> Iterator[str]:
        nonlocal line, end, text
        with open_file() as file:
            for each in file:
                line, end = line + 1, end + len(each)
                text = each.decode()
                yield text

    reader = csv.reader(lines(), delimiter=separator, skipinitialspace=True, strict=True)
    begin = 1
    try:
        for fields in reader:
            if len(fields) > 1 or (fields and (fields[0].strip())):
                yield Record(begin, line, fields, end)
                header = False
            begin = line + 1
    except csv.Error as error:
        if "new-line character" in str(error):
            raise StudyError(
                f"task.path: {path} has a carriage return in line {begin} that no line feed"
                " follows, and line feeds elsewhere; save it with one kind of line ends"
            ) from error
        other = re.match(r'\s*"[^"]*"([ ;,\t|])', text)
        if header and other is not None and other[1] != separator:
            raise StudyError(
                f"task.separator: the header of {path} has {mark_name(other[1])} between its quoted"
                f" names; set task.separator={mark_name(other[1])}"
            ) from error
        raise StudyError(
            f"task.path: {path} cannot be read as CSV (line {begin}: {error}); a quote that opens a"
            " field must close it"
        ) from error


def ragged(
    path: str, record: Record, names: Sequence[str], separator: str, *, first: bool = False
) -> str:
    """The sentence on a row with more or fewer fields than the header; first: the first row."""
    fields, count = record.fields, len(names)
    shown = separator.join(fields)
    # a decimal point says that commas are none
    whole = not any(re.fullmatch(r"-?\d*\.\d+", field) for field in fields)
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
    if first and len(fields) == count + 1 and (not whole or re.fullmatch(r"1|\D.*", fields[0])):
        what += (
            "; if its first field is the row's name, as R's write.table writes it, give the header"
            " a name for it (col.names=NA)"
        )
    if len(fields) > count and separator == "," and whole and re.search(r"\d,\d", shown):
        return (
            f"{what}; a decimal comma needs quotes around the number, or another separator, and"
            " task.decimal=comma"
        )
    if len(fields) < count:
        return f"{what}; a field without a value must be written as an empty one"
    return what


def check_quotes(path: str, record: Record, count: int, separator: str) -> None:
    """Refuse a field that has swallowed whole rows, since its quote was never closed."""
    for value in record.fields:
        if any(line.count(separator) >= count - 1 for line in value.split("\n")[1:]):
            raise StudyError(
                f"task.path: {path} cannot be read as CSV: a field of line {record.line} holds"
                " whole rows; a quote is opened there and not closed"
            )
