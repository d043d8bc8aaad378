"""A point as it is stored: its record, the names of its files, its errors, its result.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from study.records import SCHEMA, StudyError
from study.store.digests import digest, signed
from study.store.validate import mend, wrong_result

RESULT, CONFIG, OVERRIDES = "result.json", "config.yaml", "overrides"
WEIGHTS = "weights.safetensors"
Version = tuple[int, int]  # inode and modification time of result.json


@dataclass(frozen=True)
class PointRecord:
    """Everything one point leaves behind. `tables` maps a name of records.TABLES to its columns."""

    id: str
    row: Mapping[str, Any]
    labels: Mapping[str, Any]
    config: str
    overrides: Sequence[str]
    provenance: Mapping[str, Any]
    failure: Mapping[str, Any] | None = None
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] | None = None


class CannotStore(StudyError):
    """A point could not be written because of the disk (full, read-only), not because of the
    point.
    """


class Damaged(StudyError):
    """A file of a point differs from what was written. `why` omits the folder and the advice."""

    def __init__(self, path: Path, why: object) -> None:
        compacted = path.parent.parent.name == "parts"
        name = "/".join(path.parts[-3:]) if compacted else path.name
        self.why = f"{name}: damaged ({why})."
        super().__init__(f"{path}: damaged ({why}). {mend(path.parents[2])}")


class Invalid(ValueError):
    """The content of a result.json is not valid; the message needs no exception's name."""


def parse_result(data: bytes, id: str) -> dict[str, Any]:
    """The content of a result.json. Raises ValueError, RecursionError."""
    result: dict[str, Any] = json.loads(data)
    if wrong := wrong_result(result, data, id):
        raise Invalid(wrong)
    return result


def reason(error: BaseException) -> str:
    """An exception in words, for Damaged."""
    return str(error) if isinstance(error, Invalid) else f"{type(error).__name__}: {error}"


def seal(folder: Path, result: Mapping[str, Any]) -> None:
    """Write result.json with the digests of the files beside it, which completes the point."""
    files = {
        path.name: digest(path.read_bytes())
        for path in sorted(folder.iterdir())
        if path.name != RESULT
    }
    (folder / RESULT).write_bytes(signed({**result, "schema": SCHEMA, "files": files}))
