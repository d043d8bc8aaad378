"""What was read of runs, wherever they were recorded, and which reader reads what."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from study.records import StudyError


@dataclass(frozen=True)
class Source:
    """Runs as they were recorded.

    name: of the file or folder, without its path. kind: csv, parquet, frame, W&B or Hydra. digest:
    of the content. rows: one per run; texts, numbers, truth values, None. where: how messages call
    each row. history: rows with column `run` (number of the row in `rows`), None if there is none.
    settings: columns that say what was set, in contrast to what came of it; None if unknown.
    """

    name: str
    kind: str
    digest: str
    rows: pd.DataFrame
    where: Sequence[str]
    history: pd.DataFrame | None = None
    settings: Sequence[str] | None = None
    notes: Sequence[str] = field(default_factory=tuple)


def read(given: object, results: str | None) -> Source:
    """The runs of a table (file or frame), a folder of offline W&B runs or a Hydra multirun."""
    from study.adopt import hydra, table, wandb

    if isinstance(given, pd.DataFrame):
        return table.of_frame(given)
    if not isinstance(given, str | Path):
        raise StudyError(
            "study.adopt: needs a frame, a CSV or Parquet file, a folder of offline W&B runs or a"
            f" Hydra multirun folder, got {type(given).__name__}"
        )
    path = Path(given)
    if path.is_file():
        if results is not None:
            raise StudyError(f"results: is for a Hydra multirun folder, and {path.name} is a file")
        return table.of_file(path)
    if not path.is_dir():
        raise StudyError(f"{path}: there is no such file or folder")
    if runs := wandb.runs_in(path):
        return wandb.of_files(runs)
    if jobs := hydra.jobs_in(path):
        return hydra.of_folder(path, jobs, results)
    raise StudyError(
        f"{path}: holds neither W&B runs (offline-run-*) nor jobs of a Hydra multirun"
        " (N/.hydra/overrides.yaml)"
    )


def digest_of(parts: Iterable[bytes]) -> str:
    """A hash of this content, as that of task data is written."""
    total = hashlib.blake2b(digest_size=8)
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.hexdigest()


def flattened(node: object, before: str = "") -> dict[str, object]:
    """{dotted key: value} of nested mappings; a list becomes its text."""
    if not isinstance(node, dict):
        return {before: str(node) if isinstance(node, list) else node}
    found: dict[str, object] = {}
    for key, value in node.items():
        found |= flattened(value, f"{before}.{key}" if before else str(key))
    return found
