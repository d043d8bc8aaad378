"""Curves of adopted runs: rows of loss, gradient norm and validation by update."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from study.adopt.factors import levels_of, missing, number
from study.adopt.options import Options
from study.adopt.source import Source
from study.adopt.table import of_file, of_frame
from study.records import HISTORY, StudyError

NAMES = [column.name for column in HISTORY]
UPDATE = ("update", "step", "_step", "iteration")  # the first that is there counts updates
KEYS = ("run", "id", "run_id")  # columns that say whose a row is, in the table as well
LOSS = "train_loss"
Table = dict[str, list[Any]]


def of_runs(
    source: Source, given: object, options: Options, factors: Sequence[str]
) -> dict[int, Table]:
    """The table `history` of each run that has rows, by its place in the source.

    `given`: a frame or a file, whose rows name their run by a column that the table has as well
    (run, id, run_id) or by all factors and the seed; None for what the source holds itself.
    """
    if given is None:
        if source.history is None:
            return {}
        found = {
            int(at): _table(rows, options, [source.where[int(at)]] * len(rows))
            for at, rows in source.history.groupby("run")
        }
        return {at: table for at, table in found.items() if len(table) > 1}
    if not isinstance(given, pd.DataFrame | str | Path):
        raise StudyError(f"history: must be a frame or a file, got {type(given).__name__}")
    if not isinstance(given, pd.DataFrame) and not Path(given).is_file():
        raise StudyError(f"history: there is no file {given}")
    read = of_frame(given) if isinstance(given, pd.DataFrame) else of_file(Path(given))
    keys = _keys(source, read, options, factors)
    places = {key: at for at, key in enumerate(_named(source.rows, keys))}
    whose = _named(read.rows, keys)
    for key, where in zip(whose, read.where, strict=True):
        if key not in places:
            run = ", ".join(f"{name} {one}" for name, one in zip(keys, key, strict=True))
            raise StudyError(f"history: {where} is of a run that {source.name} lacks ({run})")
    at = pd.Series([places[key] for key in whose])
    return {
        int(place): _table(rows, options, [read.where[row] for row in rows.index])
        for place, rows in read.rows.groupby(at)
    }


def _keys(source: Source, read: Source, options: Options, factors: Sequence[str]) -> list[str]:
    for key in KEYS:
        if key in read.rows and key in source.rows:
            return [key]
    keys = [*factors, *([options.seed] if options.seed else [])]
    if absent := [key for key in keys if key not in read.rows]:
        raise StudyError(
            "history: its rows do not say whose they are; it needs a column run or id that"
            f" {source.name} has as well, or all factors and the seed (it lacks"
            f" {', '.join(absent)})"
        )
    return keys


def _named(rows: pd.DataFrame, keys: Sequence[str]) -> list[tuple[str, ...]]:
    columns = [[str(one) for one in levels_of(rows[key].tolist())] for key in keys]
    return list(zip(*columns, strict=True))


def _table(rows: pd.DataFrame, options: Options, where: Sequence[str]) -> Table:
    """Rows of one run by update; columns that are not recorded are left out."""
    columns = {_plain(str(name)): str(name) for name in rows.columns}
    named = {name: columns[name] for name in NAMES if name in columns}
    for name, other in (
        ("loss", LOSS),
        ("clip_scale", "grad_clip_scale"),
        ("clip_cosine", "grad_clip_cosine"),
        ("val_score", _plain(options.val_score or "")),
        ("val_loss", _plain(options.val_loss or "")),
    ):
        if name not in named and other in columns:
            named[name] = columns[other]
    update = next((columns[name] for name in UPDATE if name in columns), None)
    if update is None:
        raise StudyError(f"history: needs a column update (or step), it has {', '.join(columns)}")
    named["update"] = update
    made: Table = {
        name: [_value(one, name, at) for one, at in zip(rows[column], where, strict=True)]
        for name, column in named.items()
    }
    order = sorted(range(len(rows)), key=lambda row: made["update"][row])
    made = {name: [values[row] for row in order] for name, values in made.items()}
    updates = made["update"]
    if len(set(updates)) < len(updates):
        twice = next(one for one, next in itertools.pairwise(updates) if one == next)
        raise StudyError(f"history: {where[0]} and others have update {twice} of one run twice")
    return {
        name: made[name]
        for name in NAMES
        if name in made and any(v is not None for v in made[name])
    }


def _plain(name: str) -> str:
    return re.sub(r"[./ -]", "_", name)


def _value(value: object, name: str, where: str) -> int | float | None:
    if missing(value) or (isinstance(value, float) and value != value):
        if name == "update":
            raise StudyError(f"history: {where} has no update")
        return None
    if str(value).strip().lower() in ("nan", "inf", "-inf", "infinity", "-infinity"):
        return float(str(value))
    found = number(value)
    if found is None or (name == "update" and not isinstance(found, int)):
        raise StudyError(f"history: {where} has {name} {value!r}, which is not a number")
    return found if name == "update" else float(found)
