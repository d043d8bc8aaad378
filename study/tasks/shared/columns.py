"""Which columns of a table are features, and which are left out and why."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from study.records import StudyError
from study.tasks.shared import suspects
from study.tasks.shared.cells import Style, hint, read_cell
from study.tasks.shared.names import coded, names_of, two_names
from study.tasks.shared.number_columns import Numbers, numbers
from study.tasks.shared.table import Table
from study.tasks.shared.times import looks_like_dates, times

MAX_LEVELS = 50  # of a text column that is read by categories
EXACT = 2**53  # whole numbers up to here are exact
UNNAMED = re.compile(r"Unnamed: \d+")  # as pandas names columns without a name


@dataclass(frozen=True)
class Features:
    """numbers: [N] by column; levels: (code of each row, -1 for blank; levels) by text column.

    order: all of them as they are read. left_out: reasons by column. notes, warnings: sentences
    for the plan.
    """

    numbers: dict[str, np.ndarray]
    levels: Mapping[str, tuple[np.ndarray, list[str]]]
    order: Sequence[str]
    left_out: Mapping[str, str]
    notes: Sequence[str]
    warnings: Sequence[str]


def features(
    table: Table,
    roles: Mapping[str, str],
    *,
    named: Sequence[str] | None,
    categories: bool,
    steps: bool,
    style: Style,
    semicolons: bool,
) -> Features:
    """Choose and read the features; `roles`: columns that are something else, and their keys.

    `named`: the columns to read; null: all numeric ones, and by `categories` text. `steps`: whether
    a row is a step, so that text and times have a use. `semicolons`: whether they separate the
    fields, as where a comma is the decimal mark.
    """
    if named is not None:
        _check_named(table, roles, named)
    found: dict[str, np.ndarray] = {}
    levels: dict[str, tuple[np.ndarray, list[str]]] = {}
    left_out, warnings = dict(table.left_out), []
    units: dict[str, list[str]] = {}
    written, numbering = list[str](), list[str]()
    # the levels of an index have no names and come first
    index = set(itertools.takewhile(UNNAMED.fullmatch, table.columns))
    for name in list(table.columns):
        column = table.columns[name]
        if (named is None and name in roles) or (named is not None and name not in named):
            if name not in roles:
                left_out[name] = "task.features does not name it"
            continue
        read = numbers(column, style)
        if named is not None and read.empty:
            raise StudyError(f"task.features: column {name} of {table.path} holds no value")
        if named is None:
            why = _why_left_out(column, table.sample(name), read, categories, steps, name in index)
            if why:
                left_out[name] = why
                if name in index and (read.values % 1 > 0).any():
                    numbering.append(f"column {name} has no name, and is left out as an index")
                if not read.meant and read.share > 0.05:
                    warnings.append(
                        f"column {name} is left out as text, but {read.share:.0%} of its values are"
                        " numbers"
                    )
                continue
        if categories and not read.meant:
            levels[name] = _levels(name, column)
            if (told := two_names(name, levels[name][1])) is not None:
                warnings.append(told)
            continue
        or_else = "; or name the columns to read with task.features"
        if named is not None:
            or_else = "; task.categories=auto reads text" if steps and not read.meant else ""
        check_numbers(table, name, read, style, or_else)
        found[name] = read.values
        if read.unit:
            units.setdefault(read.unit, []).append(name)
        written += suspects.written(name, table.sample(name), style, semicolons=semicolons)
        if named is None:
            warnings += _too_large(table, name, read)
            numbering += _dates_in_figures(table, name) or suspects.numbering(
                name, read.values, rising=not steps
            )
        table.keep(name, read.values)
    warnings += suspects.few(written) + suspects.few(numbering)
    order = [name for name in named or table.columns if name in found or name in levels]
    notes = [
        f"{', '.join(names)}: read as 1 and 0"
        if unit == "true/false"
        else f"{', '.join(names)}: the numbers before or after {unit}"
        for unit, names in units.items()
    ]
    return Features(found, levels, order, left_out, notes, warnings)


def _check_named(table: Table, roles: Mapping[str, str], named: Sequence[str]) -> None:
    for name in named:
        if name in table.left_out:
            raise StudyError(
                f"task.features: column {name} of {table.path} cannot be read:"
                f" {table.left_out[name]}"
            )
        if name not in table.columns:
            raise StudyError(
                f"task.features: {table.path} has no column {name!r}; it has"
                f" {', '.join(table.columns)}"
            )
        if roles.get(name, "time") != "time":
            raise StudyError(
                f"task.features: {name} is task.{roles[name]} and cannot be a feature as well;"
                " leave it out of task.features"
            )
    if len(set(named)) < len(named):
        twice = next(name for name in named if list(named).count(name) > 1)
        raise StudyError(f"task.features: names {twice!r} twice")


def _why_left_out(
    column: pa.ChunkedArray,
    sample: pa.ChunkedArray,
    read: Numbers,
    categories: bool,
    steps: bool,
    is_index: bool,
) -> str:
    """Why a column that nobody named is no feature; "" if it is one."""
    if is_index:
        return "the index that pandas or R stores"
    if read.empty:
        return "it holds no value"
    if read.meant:
        return "it counts the rows" if _counts_rows(sample, read) else ""
    if looks_like_dates(column):
        return f"it holds dates{'; task.time orders the rows by it' if steps else ''}"
    if not pa.types.is_string(column.type):
        return f"it holds {column.type}"
    _, texts = coded(names_of(column))
    texts = [text for text in texts if text]
    if not categories:
        use = "; task.categories=auto reads text" if steps else ""
        return f"it holds text, such as {texts[0][:30]!r}{use}"
    if len(texts) > MAX_LEVELS:
        return f"it holds {len(texts)} different texts; categories have at most {MAX_LEVELS}"
    return ""


def _counts_rows(sample: pa.ChunkedArray, read: Numbers) -> bool:
    """Whether a column is a plain running index: whole numbers, each one more than the last."""
    values = read.values
    if len(values) < 3 or len(read.wrong) or not bool((np.diff(values) == 1).all()):
        return False
    return float(values[0]).is_integer() and "." not in str(sample[0].as_py())


def _dates_in_figures(table: Table, name: str) -> list[str]:
    """A warning on dates such as 20240131, whose numbers leap from month to month."""
    sample = table.sample(name)
    if not (pa.types.is_string(sample.type) or pa.types.is_integer(sample.type)):
        return []
    first = str(sample[0].as_py()).strip()
    if not re.fullmatch(r"(1[89]|2[01])\d{2}(0[1-9]|1[0-2])(\d{2}){1,4}", first):
        return []
    found = times(table.written(name))
    if not found.dates or len(found.wrong):
        return []
    return [f"column {name} holds dates such as {first}, which are read as numbers"]


def _too_large(table: Table, name: str, read: Numbers) -> list[str]:
    """A warning on whole numbers so large that neighbours become the same number."""
    largest = np.nanmax(np.abs(np.where(np.isinf(read.values), 0, read.values)), initial=0)
    if largest < EXACT or pa.types.is_floating(table.sample(name).type):
        return []
    text = str(table.written(name)[int(np.nanargmax(np.abs(read.values)))].as_py())
    if not text.lstrip("+-").isdigit():
        return []
    return [f"column {name} holds numbers such as {text}, which are rounded; is it a name?"]


def _levels(name: str, column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """(the level of each row, -1 for blank; levels in alphabetical order)."""
    codes, texts = coded(names_of(column))
    levels = sorted(text for text in texts if text)
    if len(levels) > MAX_LEVELS:
        raise StudyError(
            f"task.categories: column {name} has {len(levels)} different texts, at most"
            f" {MAX_LEVELS} can be read; leave it out of task.features"
        )
    place = {level: number for number, level in enumerate(levels)} | {"": -1}
    return np.array([place[text] for text in texts])[codes], levels


def check_numbers(table: Table, name: str, read: Numbers, style: Style, or_else: str = "") -> None:
    """Refuse the first cell of a number column that holds something else."""
    if not len(read.wrong):
        return
    row = int(read.wrong[0])
    value = table.cell(name, row)
    key = hint(value, style) if isinstance(value, str) else ""
    if isinstance(value, str) and read_cell(value, style) is not None:
        beside = f"{read.unit!r} beside them" if read.unit else "no sign beside them"
        key = f"; most others have {beside}"
    raise StudyError(
        f"task.path: column {name} of {table.path} must hold numbers; row {table.row(row)} has"
        f" {value!r}{key}{or_else}"
    )
