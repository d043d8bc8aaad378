"""Headers of tables: names of columns, or data where a header should be."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from study.records import StudyError
from study.tasks.shared.cells import mark_name

SEPARATORS = (",", ";", "\t", "|")


def checked_header(path: str, names: list[str], separator: str) -> tuple[list[str], list[str]]:
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
