"""The files of one part: many compacted points in a few Parquet files, checked whenever read.

parts/0001/part.json        ids, number of rows per point and table, end and digest of every block
                            of every file; holds its own digest
parts/0001/results.parquet  one row per point: the columns of records.POINTS, labels, and the
                            texts of result.json, config.yaml and overrides
parts/0001/history.parquet  likewise each table of records.TABLES, with the id as first column
parts/0001/weights.parquet  one row per point: weights.safetensors

A part is written once and never changed. All its points have the same tables with the same
columns. A block is a row group with a few points, so that damage costs only these points.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from study.records import SCHEMA, TABLES
from study.store.atomic import sync
from study.store.digests import digest, is_intact, signed
from study.store.point import CONFIG, OVERRIDES, RESULT, Version

# Files of a part: the index, and these two beside the tables, each with the ending .parquet.
INDEX, RESULTS, WEIGHTS = "part.json", "results", "weights"
TEXTS = {RESULT: "result", CONFIG: "config", OVERRIDES: "overrides"}  # file -> column of RESULTS
BLOCK_POINTS, BLOCK_BYTES = 50, 2**24  # upper limits of one block
MISMATCH = "its content does not match its stored digest"


class Broken(Exception):
    """A file of a part differs from what was written."""


@dataclass(frozen=True)
class Content:
    """A point to be put into a part, its tables decoded. `size`: bytes of its files."""

    id: str
    version: Version
    rows: pa.Table  # one row, with the schema table.ROWS
    texts: Mapping[str, str]
    tables: Mapping[str, pa.Table]
    weights: bytes | None
    size: int

    @property
    def shape(self) -> str:
        """Equal for points that fit into the same part."""
        tables = [(name, str(self.tables[name].schema)) for name in sorted(self.tables)]
        return json.dumps([self.weights is not None, *tables])


@dataclass(frozen=True)
class Part:
    """A part as described by its index.

    `blocks`: place of the first point of every block, then the number of points.
    `ends`: for every file, (end, digest) of what precedes the blocks, of each block, of the rest.
    """

    folder: Path
    ids: Sequence[str]
    place: Mapping[str, int]
    versions: Sequence[Version]
    blocks: Sequence[int]
    rows: Mapping[str, Sequence[int]]
    ends: Mapping[str, Sequence[tuple[int, str]]]

    @classmethod
    def read(cls, folder: Path) -> Part:
        """Read the index. Raises Broken."""
        try:
            data = (folder / INDEX).read_bytes()
            index = json.loads(data)
            if not isinstance(index, dict) or not is_intact(data, index):
                raise ValueError(MISMATCH)
            if index["schema"] > SCHEMA:
                raise ValueError(
                    f"schema {index['schema']} is newer than this program reads ({SCHEMA})"
                )
            part = cls._parse(folder, index)
            if not part._is_consistent():
                raise ValueError("its structure is not valid")
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            AttributeError,
            RecursionError,
        ) as error:
            raise Broken(f"{INDEX}: damaged ({error})") from error
        return part

    @classmethod
    def _parse(cls, folder: Path, index: Mapping[str, Any]) -> Part:
        ids = [str(id) for id, _, _ in index["points"]]
        return cls(
            folder,
            ids,
            place={id: place for place, id in enumerate(ids)},
            versions=[(int(inode), int(time)) for _, inode, time in index["points"]],
            blocks=[int(start) for start in index["blocks"]],
            rows={
                str(name): [int(count) for count in counts]
                for name, counts in index["rows"].items()
            },
            ends={
                str(name): [(int(end), str(digest)) for end, digest in ends]
                for name, ends in index["files"].items()
            },
        )

    def _is_consistent(self) -> bool:
        count, blocks, ends = len(self.ids), list(self.blocks), self.ends.values()
        return (
            all(Path(id).name == id and not id.startswith(".") for id in self.ids)
            and len(self.place) == count
            and not set(self.ends) - {RESULTS, WEIGHTS, *TABLES}
            and RESULTS in self.ends
            and set(self.rows) == set(self.ends) & set(TABLES)
            and all(
                len(counts) == count and min(counts, default=0) >= 0
                for counts in self.rows.values()
            )
            and (blocks[0], blocks[-1], blocks) == (0, count, sorted(set(blocks)))
            and all(len(each) == len(blocks) + 1 for each in ends)
            and all(
                end <= later for each in ends for (end, _), (later, _) in itertools.pairwise(each)
            )
        )

    @property
    def name(self) -> str:
        return self.folder.name

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def block_of(self, id: str) -> int:
        return int(np.searchsorted(self.blocks, self.place[id], side="right")) - 1

    def offset(self, id: str) -> int:
        """The row of a point within its block, in files with one row per point."""
        return self.place[id] - self.blocks[self.block_of(id)]

    def check_length(self, name: str, descriptor: int) -> None:
        """Raise Broken unless a file is as long as the index says: a forged index must not make
        us allocate memory of any size.
        """
        if os.fstat(descriptor).st_size != self.ends[name][-1][0]:
            raise Broken("its length has changed")

    def segment(self, name: str, number: int, descriptor: int) -> bytes:
        """Segment `number` of a file, checked. Raises Broken, OSError.

        Segment 0 precedes the blocks, segment n holds block n - 1, the last one holds the rest.
        """
        start = self.ends[name][number - 1][0] if number else 0
        end, expected = self.ends[name][number]
        data = os.pread(descriptor, end - start, start)
        while len(data) < end - start and (
            more := os.pread(descriptor, end - start - len(data), start + len(data))
        ):
            data += more
        if digest(data) != expected:
            raise Broken(MISMATCH)
        return data

    def block(
        self,
        name: str,
        numbers: int | Sequence[int],
        columns: Sequence[str] | None = None,
        dictionary: bool = False,
    ) -> pa.Table:
        """The rows of one or several blocks, every byte checked before it is decoded.

        `columns`: only these. `dictionary`: texts as dictionary arrays. Raises Broken.
        """
        numbers = [numbers] if isinstance(numbers, int) else list(numbers)
        try:
            file, footer = self._load(name, numbers)
            metadata = pq.read_metadata(pa.BufferReader(footer))
            if columns is not None:
                columns = [column for column in columns if column in metadata.schema.names]
            texts = None
            if dictionary:
                texts = [
                    column.name
                    for column in metadata.schema
                    if str(column.logical_type) == "String"
                ]
            opened = pq.ParquetFile(
                pa.BufferReader(pa.py_buffer(file)),
                metadata=metadata,
                read_dictionary=texts,
                pre_buffer=False,
            )
            return opened.read_row_groups(numbers, columns=columns, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise Broken(getattr(error, "strerror", None) or str(error)) from error

    def _load(self, name: str, numbers: Sequence[int]) -> tuple[np.ndarray, bytes]:
        """A file of which only these blocks are filled in, and its footer."""
        descriptor = os.open(self.path(name), os.O_RDONLY)
        try:
            self.check_length(name, descriptor)
            # The system provides only the pages that are written to; the rest costs nothing.
            file = np.zeros(self.ends[name][-1][0], np.uint8)
            footer = self.segment(name, len(self.ends[name]) - 1, descriptor)
            for number in numbers:
                start, end = self.ends[name][number][0], self.ends[name][number + 1][0]
                data = self.segment(name, number + 1, descriptor)
                file[start:end] = np.frombuffer(data, np.uint8)
        finally:
            os.close(descriptor)
        return file, footer

    def damaged(self, name: str) -> dict[int, str]:
        """{block: what is wrong with it} for one file, which is read completely."""
        everything = range(len(self.blocks) - 1)
        wrong: dict[int, str] = {}
        try:
            descriptor = os.open(self.path(name), os.O_RDONLY)
        except OSError as error:
            return dict.fromkeys(everything, str(error.strerror))
        try:
            try:
                self.check_length(name, descriptor)
            except Broken as error:
                return dict.fromkeys(everything, str(error))
            last = len(self.ends[name]) - 1
            for number in range(last + 1):
                try:
                    self.segment(name, number, descriptor)
                except (Broken, OSError) as error:
                    why = str(getattr(error, "strerror", None) or error)
                    affected = everything if number in (0, last) else (number - 1,)
                    wrong |= dict.fromkeys(affected, why)
        finally:
            os.close(descriptor)
        return wrong

    def table(self, name: str, id: str, block: pa.Table) -> pa.Table:
        """The rows of one point, taken from its block of a table."""
        first, place = self.blocks[self.block_of(id)], self.place[id]
        start = sum(self.rows[name][first:place])
        # A copy: a slice would keep the whole block in memory.
        rows = block.take(pa.array(range(start, start + self.rows[name][place]), pa.int64()))
        fields = [
            pa.field(field.name, field.type.value_type)
            if pa.types.is_dictionary(field.type)
            else field
            for field in rows.schema
        ]
        return rows.cast(pa.schema(fields))


def write_part(folder: Path, points: Sequence[Content]) -> None:
    """Write points of one shape to an empty folder, which the caller then gives its final name."""
    starts = list(_block_starts(points))
    bounds = [*starts, len(points)]
    blocks = [points[start:end] for start, end in itertools.pairwise(bounds)]
    names = [RESULTS, *sorted(points[0].tables)]
    if points[0].weights is not None:
        names.append(WEIGHTS)
    ends = {}
    for name in names:
        path = folder / f"{name}.parquet"
        tables = [_block(name, block) for block in blocks]
        with pq.ParquetWriter(path, tables[0].schema, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table, row_group_size=max(1, len(table)))
        ends[name] = _ends(path)
        if len(ends[name]) != len(blocks) + 2:
            raise Broken(
                f"{path.name} has {len(ends[name]) - 2} row groups for {len(blocks)} blocks"
            )
    index = {
        "schema": SCHEMA,
        "points": [[point.id, *point.version] for point in points],
        "blocks": bounds,
        "rows": {name: [len(point.tables[name]) for point in points] for name in points[0].tables},
        "files": ends,
    }
    (folder / INDEX).write_bytes(signed(index))
    sync(*folder.iterdir(), folder)


def _block_starts(points: Sequence[Content]) -> Iterator[int]:
    """The place of the first point of every block."""
    size = count = 0
    for place, point in enumerate(points):
        if place == 0 or count == BLOCK_POINTS or size + point.size > BLOCK_BYTES:
            yield place
            size = count = 0
        size, count = size + point.size, count + 1


def _block(name: str, points: Sequence[Content]) -> pa.Table:
    """The rows of one block of one file."""
    ids = [point.id for point in points]
    if name == WEIGHTS:
        weights = pa.array([point.weights for point in points], pa.binary())
        return pa.table({"id": ids, WEIGHTS: weights})
    if name == RESULTS:
        rows = pa.concat_tables([point.rows for point in points])
        for text in TEXTS.values():
            column = pa.array([point.texts[text] for point in points], pa.string())
            rows = rows.append_column(text, column)
        return rows
    tables = [point.tables[name] for point in points]
    owners = np.repeat(np.arange(len(points)), [len(table) for table in tables])
    return pa.concat_tables(tables).add_column(
        0, "id", pa.array(ids, pa.string()).take(pa.array(owners, pa.int64()))
    )


def _ends(path: Path) -> list[tuple[int, str]]:
    """(end, digest) of the segments of a file: before the row groups, each of them, the rest."""
    metadata, data = pq.read_metadata(path), path.read_bytes()
    ends = [4]  # the magic number
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(column) for column in range(group.num_columns)]
        columns = [column for column in columns if column.total_compressed_size]
        starts = [
            min(
                offset
                for offset in (column.dictionary_page_offset, column.data_page_offset)
                if offset
            )
            for column in columns
        ]
        sizes = [column.total_compressed_size for column in columns]
        ends.append(
            max((start + size for start, size in zip(starts, sizes, strict=True)), default=ends[-1])
        )
    ends.append(len(data))
    return [(end, digest(data[start:end])) for start, end in zip([0, *ends], ends, strict=False)]
