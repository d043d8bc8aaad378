"""Two tidy CSV files in the study's folder: csv/points.csv and csv/histories.csv."""

from __future__ import annotations

import csv
import fcntl
import io
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from study.interfaces import Tracker
from study.records import HISTORY, POINTS
from study.store import Store
from study.store.atomic import write_whole

TAGS = "tags"


class Csv(Tracker):
    """points.csv has one row per point: the columns of records.POINTS, tags, then one column per
    other factor. histories.csv has one row per update of a point: id, then records.HISTORY.

    Both can be read while they grow: the rows of a point are appended at once, its history first. A
    point that comes again is not written again; one that has changed since (probed again, the best
    of a search) replaces its rows. histories: whether the second file is written. Launches that
    share a study share the files.
    """

    def __init__(self, *, histories: bool) -> None:
        self.histories = histories

    def open(self, study: str, folder: Path) -> None:
        self.folder = folder / "csv"
        self.folder.mkdir(parents=True, exist_ok=True)
        points = [*(column.name for column in POINTS), TAGS]
        self.points = Rows(self.folder / "points.csv", points)
        self.updates = Rows(
            self.folder / "histories.csv", ["id", *(column.name for column in HISTORY)]
        )

    def log(self, result: Mapping[str, Any], folder: Path) -> None:
        store, id = Store(folder.parent.parent), result["id"]
        row = {**result["labels"], **store.known(result["row"])}
        row[TAGS] = " ".join(result.get("tags", ()))
        with self._alone():
            self.points.extend(row)
            line = self.points.line(row)
            if self.points.has(id, line):
                return
            if self.histories:
                history = store.table("history", [id]).to_csv(
                    header=False, index=False, columns=self.updates.columns, lineterminator="\n"
                )
                self.updates.put(id, history)
            self.points.put(id, line)

    def close(self) -> None:
        """Nothing is open between two points."""

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One launch at a time."""
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class Rows:
    """A CSV file whose first column is `id`: rows of an id are appended, or replaced by others.

    A row is a line. What other processes have written is read before each use, and what a crash
    has cut short at the end is removed; hence use it alone.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.columns = path, list(columns)
        self.inode = self.size = 0
        self.sums: dict[bytes, int] = {}  # id -> checksum of its lines

    def extend(self, row: Mapping[str, Any]) -> None:
        """Add columns that a row has and the file has not, empty for rows that are there."""
        self._read()
        if new := [name for name in row if name not in self.columns]:
            self.columns += new
            if self.size:
                lines = self.path.read_bytes().splitlines()[1:]
                self._rewrite(line + b"," * len(new) for line in lines)

    def line(self, row: Mapping[str, Any]) -> str:
        """A row as it stands in the file; line ends inside of values become spaces."""
        values = [row.get(name) for name in self.columns]
        return _line([" ".join(v.split()) if isinstance(v, str) else v for v in values])

    def has(self, id: str, lines: str) -> bool:
        """Whether these are the rows of this id."""
        self._read()
        return self.sums.get(id.encode()) == zlib.crc32(lines.encode())

    def put(self, id: str, lines: str) -> None:
        """Append the rows of an id, or replace those that are there if they differ."""
        if not lines or self.has(id, lines):
            return
        if id.encode() in self.sums:
            others = id.encode() + b","
            kept = self.path.read_bytes().splitlines()[1:]
            self._rewrite(
                [*(line for line in kept if not line.startswith(others)), lines.rstrip().encode()]
            )
            return
        text = lines if self.size else _line(self.columns) + lines
        # One call, so that no reader sees half a row while the disk has room.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            left = memoryview(text.encode())
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)

    def _rewrite(self, lines: Iterator[bytes] | Sequence[bytes]) -> None:
        data = b"\n".join([_line(self.columns).rstrip().encode(), *lines]) + b"\n"
        write_whole(self.path, lambda partial: partial.write_bytes(data))
        self._read()

    def _read(self) -> None:
        if not self.path.exists():
            self.inode, self.size, self.sums = 0, 0, {}
            return
        now = self.path.stat()
        if (now.st_ino, now.st_size) == (self.inode, self.size):
            return
        if now.st_ino != self.inode or now.st_size < self.size:
            self.inode, self.size, self.sums = now.st_ino, 0, {}
        with self.path.open("r+b") as file:
            file.seek(self.size)
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(self.size)
                    break
                if self.size:
                    id = line.partition(b",")[0]
                    self.sums[id] = zlib.crc32(line, self.sums.get(id, 0))
                else:
                    self.columns = next(csv.reader([line.decode()]))
                self.size += len(line)


def _line(values: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()
