"""Checks of what readers rely on in result.json and study.json, with a message for each fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from study.program import command
from study.records import ENDED, OUTCOMES, POINTS, SCHEMA, STATES, STATUSES, VERDICTS
from study.store.digests import is_intact

ALLOWED = {  # values of text columns
    "status": STATUSES,
    "verdict": VERDICTS,
    "outcome": OUTCOMES,
    "state": STATES,
    "state_init": STATES,
    "ended_early": ENDED,
}


def wrong_result(result: Any, data: bytes, id: str) -> str | None:
    """What is wrong with the content of a result.json."""
    if not isinstance(result, dict):
        return "it is not a JSON object"
    schema = result.get("schema")
    if not isinstance(schema, int) or schema < 1:
        return f"schema {schema!r}"
    if schema > SCHEMA:
        return f"schema {schema} is newer than this program reads ({SCHEMA})"
    if (schema > 1 or "digest" in result) and not is_intact(data, result):
        return "its content does not match its stored digest"
    if not all(
        isinstance(result.get(key), dict) for key in ("row", "labels", "provenance")
    ) or not isinstance(result.get("files", {}), dict):
        return "it has no row, labels or provenance"
    if not all(
        isinstance(value, str) and Path(name).name == name
        for name, value in result.get("files", {}).items()
    ):
        return "it lists files outside its folder"
    if result.get("id") != id:
        return f"it belongs to point {result.get('id')!r}"
    if not all(_scalar(value) for value in result["labels"].values()):
        return "a label is not a text, a number or a truth value"
    for column in POINTS:
        value = result["row"].get(column.name)
        if value is not None and not (
            _of_kind(value, column.kind) and value in ALLOWED.get(column.name, (value,))
        ):
            return f"{column.name} {str(value)[:40]!r}"
    return "it has no status" if result["row"].get("status") is None else None


def mend(folder: Path) -> str:
    """What to do about damage in the folder of a study."""
    repair = command("reports", "status", str(folder), "--repair")
    return f"{repair} sets it aside, and the same study trains it again"


def wrong_study(study: Any, folder: Path) -> str | None:
    """What is wrong with the content of the study.json of `folder`."""
    if not isinstance(study, dict):
        return f"damaged, it is not a JSON object. {mend(folder)}"
    schema = study.get("schema", 0)
    if not isinstance(schema, int) or schema > SCHEMA:
        return f"schema {schema!r} is newer than this program reads ({SCHEMA})"
    launches = study.get("launches", [])
    if (
        not isinstance(study.get("fingerprint", {}), dict)
        or not isinstance(launches, list)
        or not all(isinstance(launch, dict) for launch in launches)
    ):
        return f"damaged, its fingerprint or its launches are not valid. {mend(folder)}"
    return None


def _scalar(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, str | float | bool)
        or (isinstance(value, int) and abs(value) < 2**63)
    )


def _of_kind(value: Any, kind: str) -> bool:
    """Whether a value of result.json fits a column's kind."""
    if kind in ("str", "bool"):
        return isinstance(value, str if kind == "str" else bool)
    if kind == "float" and value in ("nan", "inf", "-inf"):
        return True
    if not isinstance(value, int | float) or isinstance(value, bool) or not _scalar(value):
        return False
    return kind == "float" or isinstance(value, int) or (abs(value) < 2**53 and value == value // 1)
