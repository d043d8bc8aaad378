"""Reads the columns of a table that have a role: target, series, time, group, part."""

from __future__ import annotations

import numpy as np

from study.records import StudyError
from study.tasks.shared import suspects
from study.tasks.shared.columns import check_numbers
from study.tasks.shared.date_formats import dated
from study.tasks.shared.names import as_written, coded, names_of, odd_names
from study.tasks.shared.number_columns import numbers
from study.tasks.shared.steps import Reading
from study.tasks.shared.table import Table
from study.tasks.shared.table_settings import TableSettings
from study.tasks.shared.times import Times

ROLES = ("series", "time", "group", "part")
Names = tuple[np.ndarray, np.ndarray]  # (code of each row [N], names by code)


def roles_of(table: Table, settings: TableSettings) -> dict[str, str]:
    """The key that names each column; StudyError if there is no such column."""
    roles: dict[str, str] = {}
    named = [("target", name) for name in settings.targets]
    named += [(key, name) for key in ROLES if (name := getattr(settings, key)) is not None]
    for key, name in named:
        if name in table.left_out:
            raise StudyError(
                f"task.{key}: column {name} of {settings.path} cannot be read:"
                f" {table.left_out[name]}"
            )
        if name not in table.columns:
            only = next(iter(table.columns))
            hint = len(table.columns) == 1 and " " in only and settings.separator != " "
            raise StudyError(
                f"task.{key}: {settings.path} has no column {name!r}; it has"
                f" {', '.join(table.columns)}"
                f"{'; task.separator=space divides it by spaces' if hint else ''}"
            )
        if name in roles and {key, roles[name]} != {"series", "group"}:
            raise StudyError(f"task.{key}: {name} is task.{roles[name]} already")
        roles.setdefault(name, key)
    return roles


def named_roles(reading: Reading, settings: TableSettings) -> dict[str, Names]:
    """The columns of names that there are, by the keys that name them."""
    keys = ["series", "group", "part", *["target"] * settings.classes]
    return {
        key: _names(reading, key, getattr(settings, key), settings.path)
        for key in keys
        if getattr(settings, key) is not None
    }


def _names(reading: Reading, key: str, column: str, path: str) -> Names:
    """(code of each row [N], names) of a column of names."""
    codes, texts = coded(names_of(reading.table.columns[column]))
    if "" in texts:
        row = reading.row(np.argmax(codes == texts.index("")))
        raise StudyError(f"task.{key}: {column} is missing in row {row} of {path}")
    reading.warnings += odd_names(column, codes, texts)
    return codes, as_written(texts)


def of_rows(names: Names, rows: np.ndarray) -> np.ndarray:
    """The names in these rows of the file."""
    return names[1][names[0][rows]]


def read_targets(reading: Reading, settings: TableSettings) -> np.ndarray:
    """[N, O] of targets that are numbers."""
    return np.column_stack([_target(reading, name, settings) for name in settings.targets])


def _target(reading: Reading, name: str, settings: TableSettings) -> np.ndarray:
    style = settings.style
    read = numbers(reading.table.columns[name], style)
    check_numbers(reading.table, name, read, style)
    if read.unit:
        reading.notes.append(f"{name}: read with {read.unit}")
    reading.warnings += suspects.written(
        name, reading.table.sample(name), style, semicolons=settings.separator == ";"
    )
    reading.table.keep(name, read.values)
    wrong = ~np.isfinite(read.values)
    if settings.form == "regression" and wrong.any():
        raise StudyError(
            f"task.target: {name} is missing or infinite in row {reading.row(wrong.argmax())} of"
            f" {settings.path}"
        )
    return read.values


def read_times(reading: Reading, settings: TableSettings) -> Times:
    """The column of times."""
    assert settings.time is not None
    table = reading.table
    read = dated(table.columns[settings.time], settings.date_format)
    found = read.times
    if len(found.wrong):
        row = int(found.wrong[0])
        raise StudyError(
            f"task.time: column {settings.time} of {settings.path} must hold {read.must}; row"
            f" {table.row(row)} has {table.cell(settings.time, row)!r}{read.remedy}"
        )
    if read.form is not None:
        reading.notes.append(f"{settings.time}: dates are read as {read.form}")
    reading.date_format = settings.date_format or read.form
    if settings.resample is not None and not found.dates:
        raise StudyError(
            f"task.resample: column {settings.time} of {settings.path} holds numbers; spans such as"
            f" {settings.resample} need dates"
        )
    if settings.time not in (settings.features or ()):
        table.keep(settings.time, found.stamps)
    return found
