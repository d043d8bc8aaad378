"""The state of a race in the study's folder: certain.json, written after every look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.records import SCHEMA, StudyError
from study.store.atomic import write_whole
from study.store.digests import is_intact, signed

NAME = "certain.json"


def read_race(folder: Path | str) -> dict[str, Any] | None:
    """certain.json as `study.launch.certain` wrote it; None if there is none.

    Raises StudyError if it is damaged: it is made again from the stored points.
    """
    path = Path(folder) / NAME
    if not path.exists():
        return None
    try:
        data = path.read_bytes()
        found = json.loads(data)
        whole = isinstance(found, dict) and is_intact(data, found)
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(f"{path}: damaged ({error}). {AGAIN}") from error
    if not whole:
        raise StudyError(f"{path}: damaged (its content does not match its digest). {AGAIN}")
    return dict(found)


def held_out(folder: Path | str) -> bool:
    """Whether test scores of this folder's study wait for the end of its race
    (study.certain.holdout).
    """
    try:
        state = read_race(folder) or {}
    except StudyError:
        return False  # `python -m reports status` names what is damaged
    return bool(state.get("holdout")) and state["ended"] == "running"


def check_not_held_out(folder: Path | str) -> None:
    """Raise StudyError while test scores wait for the end of a race."""
    if held_out(folder):
        raise StudyError(
            f"{folder}: its test scores are not shown before its race is over"
            " (study.certain.holdout). `make certain` goes on with it, and `python -m reports"
            " status` counts its points"
        )


AGAIN = "Remove it and start the race again: it is made from the stored points"


def write_race(folder: Path, state: Mapping[str, Any]) -> None:
    """Write certain.json, whole or not at all."""
    data = signed({"schema": SCHEMA, **state})
    write_whole(folder / NAME, lambda path: path.write_bytes(data))
