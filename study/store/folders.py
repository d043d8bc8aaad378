"""Points in folders of their own, points/ID/: one folder per point, written whole or not at all.

Paths are joined as text and read by system calls: with 100,000 points, a Path per file would cost
more than the reading.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from study.records import SCHEMA, TABLES
from study.store.atomic import swap_in, sync
from study.store.digests import digest
from study.store.part import TEXTS, Content
from study.store.point import (
    CONFIG,
    OVERRIDES,
    RESULT,
    WEIGHTS,
    Damaged,
    PointRecord,
    Version,
    parse_result,
    reason,
    seal,
)
from study.store.table import arrow_table, rows_of, to_json


class Folders:
    """The folder points/ of one study."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._root = folder, str(folder)
        # Digests of the files of every point read so far, with the version they belong to.
        self.digests: dict[str, tuple[Version | None, Mapping[str, str]]] = {}

    # --- which points -----------------------------------------------------------------------------

    def names(self) -> set[str]:
        """Ids of all folders, whether their points are whole or not."""
        if not self.folder.is_dir():
            return set()
        return {name for name in os.listdir(self._root) if not name.startswith(".")}

    def has(self, id: str) -> bool:
        return os.path.lexists(f"{self._root}/{id}")

    def complete(self, id: str) -> bool:
        """Whether the point has a result.json."""
        return os.path.exists(f"{self._root}/{id}/{RESULT}")

    def version(self, id: str) -> Version | None:
        """Changes whenever the point is written again; None if it has no result.json."""
        try:
            status = os.stat(f"{self._root}/{id}/{RESULT}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_ino, status.st_mtime_ns

    # --- reading ----------------------------------------------------------------------------------

    def result(self, id: str) -> dict[str, Any]:
        """The content of result.json. Raises Damaged."""
        path, version = f"{self._root}/{id}/{RESULT}", self.version(id)
        try:
            result = parse_result(_bytes(path), id)
        except FileNotFoundError as error:
            raise Damaged(Path(path), "it is missing") from error
        except (OSError, ValueError, RecursionError) as error:
            raise Damaged(Path(path), reason(error)) from error
        self.digests[id] = (version, result.get("files", {}))
        return result

    def status(self, id: str) -> str | None:
        """One of records.STATUSES. Raises Damaged."""
        return str(self.result(id)["row"]["status"])

    def whole(self, id: str) -> dict[str, Any]:
        """The content of result.json, after every file was read and checked. Raises Damaged."""
        result = self.result(id)
        files = result.get("files", {})
        for name in files:
            self.read(id, name)
        # A point written by an older version has no digests.
        for path in () if files else (self.folder / id).glob("*.parquet"):
            try:
                pq.read_metadata(path)
            except (OSError, pa.ArrowException) as error:
                raise Damaged(path, error) from error
        return result

    def read(self, id: str, name: str) -> bytes:
        """The content of one file, checked. Raises Damaged."""
        path = f"{self._root}/{id}/{name}"
        known = self.digests.get(id)
        if known is None or known[0] != self.version(id):
            self.result(id)
            known = self.digests[id]
        try:
            data = _bytes(path)
        except OSError as error:
            raise Damaged(Path(path), error.strerror) from error
        if known[1] and digest(data) != known[1].get(name):
            raise Damaged(Path(path), "its content does not match its stored digest")
        return data

    def table(self, id: str, name: str) -> pa.Table | None:
        """The rows of a table, with the id as first column; None if the point has no such table."""
        path = f"{self._root}/{id}/{name}.parquet"
        if not os.path.exists(path):
            return None
        try:
            rows = _table(self.read(id, f"{name}.parquet"))
        except (OSError, pa.ArrowException) as error:
            raise Damaged(Path(path), error) from error
        return rows.add_column(0, "id", pa.array([id] * len(rows), pa.string()))

    def has_weights(self, id: str) -> bool:
        return os.path.exists(f"{self._root}/{id}/{WEIGHTS}")

    def content(self, id: str) -> Content | None:
        """Everything of a point, checked, for compaction. Raises Damaged.

        None if the point has no digests, or files that a part cannot hold.
        """
        result, version = self.result(id), self.version(id)
        files = result.get("files", {})
        required = {CONFIG, OVERRIDES}
        allowed = required | {WEIGHTS, *(f"{name}.parquet" for name in TABLES)}
        present = set(os.listdir(f"{self._root}/{id}"))
        if not required <= set(files) <= allowed or present != {RESULT, *files} or version is None:
            return None
        data = {name: self.read(id, name) for name in files}
        data[RESULT] = _bytes(f"{self._root}/{id}/{RESULT}")
        try:
            tables = {
                name: _table(data[f"{name}.parquet"]).replace_schema_metadata(None)
                for name in TABLES
                if f"{name}.parquet" in data
            }
            texts = {column: data[name].decode() for name, column in TEXTS.items()}
        except (pa.ArrowException, UnicodeDecodeError):
            return None
        rewritten = self.version(id) != version
        if rewritten or any("id" in table.column_names for table in tables.values()):
            return None
        size = sum(map(len, data.values()))
        return Content(id, version, rows_of([result]), texts, tables, data.get(WEIGHTS), size)

    # --- writing ----------------------------------------------------------------------------------

    def write(self, record: PointRecord) -> None:
        """Store a point, all its files or none; it replaces an earlier one with the same id."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".partial-{record.id}-", dir=self.folder))
        try:
            _fill(partial, record)
            sync(*partial.iterdir(), partial)
            swap_in(partial, self.folder / record.id)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def tidy(self, busy: Collection[str]) -> None:
        """Clean up after processes that were killed while they stored a point, except for points
        in `busy`.
        """
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if (old := re.fullmatch(r"\.old-\d+-(.+)", path.name)) and old[1] not in busy:
                # Killed between the two renames of swap_in: this is the only copy.
                if not (self.folder / old[1]).exists():
                    path.rename(self.folder / old[1])
                shutil.rmtree(path, ignore_errors=True)
                continue
            partial = re.fullmatch(r"\.partial-(.+)-[^-]+", path.name)
            if partial and partial[1] not in busy:
                shutil.rmtree(path, ignore_errors=True)

    def set_aside(self, id: str, target: Path) -> Path:
        """Move a point's folder to `target`."""
        return (self.folder / id).rename(target)


def survey_folders(
    folder: Path, ids: Sequence[str], whole: bool
) -> tuple[pa.Table, dict[str, str]]:
    """Rows of these points, and why the damaged ones have none; may run in another process."""
    folders, results = Folders(folder), []
    wrong: dict[str, str] = {}
    for id in ids:
        try:
            results.append(folders.whole(id) if whole else folders.result(id))
        except Damaged as error:
            wrong[id] = error.why
    return rows_of(results), wrong


def _fill(folder: Path, record: PointRecord) -> None:
    folder.chmod(0o755)
    (folder / CONFIG).write_text(record.config, encoding="utf-8")
    overrides = "".join(f"{line}\n" for line in record.overrides)
    (folder / OVERRIDES).write_text(overrides, encoding="utf-8")
    for name, columns in record.tables.items():
        table = arrow_table(columns, TABLES[name])
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    if record.weights is not None:
        weights = {name: np.ascontiguousarray(value) for name, value in record.weights.items()}
        save_file(weights, folder / WEIGHTS)
    result = {
        "schema": SCHEMA,
        "id": record.id,
        "row": {name: to_json(value) for name, value in record.row.items()},
        "labels": dict(record.labels),
        "provenance": dict(record.provenance),
        "failure": record.failure,
    }
    seal(folder, result)


def _bytes(path: str) -> bytes:
    """A small file, read with as few system calls as possible."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = [os.read(descriptor, 2**17)]
        while pieces[-1]:
            pieces.append(os.read(descriptor, 2**20))
    finally:
        os.close(descriptor)
    return pieces[0] if len(pieces) <= 2 else b"".join(pieces)


def _table(data: bytes) -> pa.Table:
    """A small Parquet file; threads and prefetching would cost more than they save."""
    return pq.ParquetFile(pa.BufferReader(data), pre_buffer=False).read(use_threads=False)
