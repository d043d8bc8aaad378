"""Compacted points: many points in a few Parquet files, every byte of them checked when read.

parts/0001/part.json        ids, rows per point of every table, where each block of each file
                            ends, and its digest; signed
parts/0001/results.parquet  one row per point: the columns of records.POINTS, labels, and the
                            texts of result.json, config.yaml and overrides
parts/0001/history.parquet  likewise each table of records.TABLES, with the id as first column
parts/0001/weights.parquet  one row per point: weights.safetensors
parts/0001.gone.ID          this point was set aside: it no longer belongs to the part

A part is written once and never changed. All points of a part have the same tables with the same
columns. A block is a row group of a few points: damage costs these points and no others. Where two
parts hold the same point, the later one counts.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from study.records import POINTS, SCHEMA, TABLES, Column
from study.store.atomic import sync
from study.store.digests import digest, holds, signed

INDEX, RESULTS, WEIGHTS = (
    "part.json",
    "results",
    "weights",
)  # files of a part: these two and the tables, each .parquet
ARROW = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
TEXTS = ("result", "config", "overrides")
ROWS = pa.schema(
    [*((column.name, ARROW[column.kind]) for column in POINTS), ("labels", pa.string())]
)  # of all points, what a reader of many needs
BLOCK_POINTS, BLOCK_BYTES = 50, 2**24  # most of one block
GONE = re.compile(r"([0-9]{4,9})\.gone\.(.+)", re.ASCII)
NAME = re.compile(r"[0-9]{4,9}", re.ASCII)
Version = tuple[int, int]


def arrow(columns: Mapping[str, Any], schema: tuple[Column, ...]) -> pa.Table:
    """Columns by name as a table of these columns' kinds; what is not of the schema is left out."""
    fields = [column for column in schema if column.name in columns]
    return pa.table(
        {
            column.name: pa.array(columns[column.name], type=ARROW[column.kind], from_pandas=False)
            for column in fields
        }
    )


class Broken(Exception):
    """A file of a part is not what was written."""


@dataclass(frozen=True)
class Content:
    """A point to be put into a part: its files, tables read already. `size` in bytes, as files."""

    id: str
    version: Version
    rows: pa.Table  # ROWS, one of them
    texts: Mapping[str, str]
    tables: Mapping[str, pa.Table]
    weights: bytes | None
    size: int

    @property
    def shape(self) -> str:
        """Equal for points that one part may hold."""
        return json.dumps(
            [
                self.weights is not None,
                *((name, str(self.tables[name].schema)) for name in sorted(self.tables)),
            ]
        )


@dataclass(frozen=True)
class Part:
    """One part, as its index tells.

    `ends` by file: [end, digest] of what precedes the blocks, of each block, and of the rest.
    """

    folder: Path
    ids: Sequence[str]
    place: Mapping[str, int]
    versions: Sequence[Version]
    blocks: Sequence[int]  # the first point of each, and how many there are in all
    rows: Mapping[str, Sequence[int]]
    ends: Mapping[str, Sequence[tuple[int, str]]]

    @classmethod
    def read(cls, folder: Path) -> Part:
        """Raises Broken."""
        try:
            data = (folder / INDEX).read_bytes()
            told = json.loads(data)
            if not isinstance(told, dict) or not holds(data, told):
                raise ValueError("its content does not have the digest that was written with it")
            if told["schema"] > SCHEMA:
                raise ValueError(
                    f"schema {told['schema']} is newer than this program reads ({SCHEMA})"
                )
            ids = [str(id) for id, _, _ in told["points"]]
            ends = {
                str(name): [(int(end), str(of)) for end, of in of_file]
                for name, of_file in told["files"].items()
            }
            rows = {
                str(name): [int(count) for count in counts] for name, counts in told["rows"].items()
            }
            blocks = [int(start) for start in told["blocks"]]
            wrong = (
                any(Path(id).name != id or id.startswith(".") for id in ids)
                or len(set(ids)) != len(ids)
                or set(ends) - {RESULTS, WEIGHTS, *TABLES}
                or RESULTS not in ends
                or set(rows) != set(ends) & set(TABLES)
                or any(
                    len(counts) != len(ids) or min(counts, default=0) < 0
                    for counts in rows.values()
                )
                or (blocks[0], blocks[-1], blocks) != (0, len(ids), sorted(set(blocks)))
                or any(len(of) != len(blocks) + 1 for of in ends.values())
                or any(
                    end > later
                    for of in ends.values()
                    for (end, _), (later, _) in itertools.pairwise(of)
                )
            )
            if wrong:
                raise ValueError("it is of another form")
            versions = [(int(inode), int(time)) for _, inode, time in told["points"]]
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
        return cls(folder, ids, {id: at for at, id in enumerate(ids)}, versions, blocks, rows, ends)

    @property
    def name(self) -> str:
        return self.folder.name

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def block_of(self, id: str) -> int:
        return int(np.searchsorted(self.blocks, self.place[id], side="right")) - 1

    def whole(self, name: str, descriptor: int) -> None:
        """A file is as long as the index says, which anybody may have written: before memory of
        that size is asked for. Raises Broken.
        """
        if os.fstat(descriptor).st_size != self.ends[name][-1][0]:
            raise Broken("it is not as long as it was")

    def segment(self, name: str, number: int, descriptor: int) -> bytes:
        """Piece `number` of a file (0: before the blocks, n: block n - 1, the last one: the rest),
        checked. Raises Broken, OSError.
        """
        start = self.ends[name][number - 1][0] if number else 0
        end, told = self.ends[name][number]
        data = os.pread(descriptor, end - start, start)
        while len(data) < end - start and (
            more := os.pread(descriptor, end - start - len(data), start + len(data))
        ):
            data += more
        if digest(data) != told:
            raise Broken("its content does not have the digest that was written with it")
        return data

    def block(
        self,
        name: str,
        numbers: int | Sequence[int],
        columns: Sequence[str] | None = None,
        coded: bool = False,
    ) -> pa.Table:
        """The rows of a block, or of several, of some columns; every byte is checked before it is
        decoded. `coded`: texts by number. Raises Broken.
        """
        numbers = [numbers] if isinstance(numbers, int) else list(numbers)
        try:
            descriptor = os.open(self.path(name), os.O_RDONLY)
            try:
                self.whole(name, descriptor)
                file = np.zeros(
                    self.ends[name][-1][0], np.uint8
                )  # the system gives pages for what is written to it, the rest costs nothing
                tail = self.segment(name, len(self.ends[name]) - 1, descriptor)
                for number in numbers:
                    start, end = self.ends[name][number][0], self.ends[name][number + 1][0]
                    file[start:end] = np.frombuffer(
                        self.segment(name, number + 1, descriptor), np.uint8
                    )
            finally:
                os.close(descriptor)
            metadata = pq.read_metadata(pa.BufferReader(tail))
            there = (
                None
                if columns is None
                else [column for column in columns if column in metadata.schema.names]
            )
            texts = (
                [column.name for column in metadata.schema if str(column.logical_type) == "String"]
                if coded
                else None
            )
            source = pa.BufferReader(pa.py_buffer(file))
            opened = pq.ParquetFile(
                source, metadata=metadata, read_dictionary=texts, pre_buffer=False
            )
            return opened.read_row_groups(numbers, columns=there, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise Broken(getattr(error, "strerror", None) or str(error)) from error

    def damaged(self, name: str) -> dict[int, str]:
        """{block: why} of what is wrong with a file; all of it is read."""
        wrong: dict[int, str] = {}
        try:
            descriptor = os.open(self.path(name), os.O_RDONLY)
        except OSError as error:
            return dict.fromkeys(range(len(self.blocks) - 1), str(error.strerror))
        try:
            try:
                self.whole(name, descriptor)
            except Broken as error:
                return dict.fromkeys(range(len(self.blocks) - 1), str(error))
            for number in range(len(self.ends[name])):
                try:
                    self.segment(name, number, descriptor)
                except (Broken, OSError) as error:
                    why = str(getattr(error, "strerror", None) or error)
                    of_all = number in (0, len(self.ends[name]) - 1)
                    wrong |= dict.fromkeys(
                        range(len(self.blocks) - 1) if of_all else (number - 1,), why
                    )
        finally:
            os.close(descriptor)
        return wrong

    def table(self, name: str, id: str, block: pa.Table) -> pa.Table:
        """The rows of one point in a block that was read of a table."""
        first, at = self.blocks[self.block_of(id)], self.place[id]
        start = sum(self.rows[name][first:at])
        rows = block.take(
            pa.array(range(start, start + self.rows[name][at]), pa.int64())
        )  # a copy: a slice would keep the whole block
        fields = [
            (
                pa.field(field.name, field.type.value_type)
                if pa.types.is_dictionary(field.type)
                else field
            )
            for field in rows.schema
        ]
        return rows.cast(pa.schema(fields))


def write(folder: Path, points: Sequence[Content]) -> None:
    """Write the part of these points, of one shape, to an empty folder; nobody looks at it before
    it is renamed.
    """
    starts = list(_starts(points))
    blocks = [
        points[start:end] for start, end in zip(starts, [*starts[1:], len(points)], strict=True)
    ]
    names = [
        RESULTS,
        *sorted(points[0].tables),
        *([WEIGHTS] if points[0].weights is not None else []),
    ]
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
    rows = {name: [len(point.tables[name]) for point in points] for name in points[0].tables}
    told = {
        "schema": SCHEMA,
        "points": [[point.id, *point.version] for point in points],
        "blocks": [*starts, len(points)],
        "rows": rows,
        "files": ends,
    }
    (folder / INDEX).write_bytes(signed(told))
    sync(*folder.iterdir(), folder)


def _starts(points: Sequence[Content]) -> Iterator[int]:
    """The first point of every block."""
    size = count = 0
    for number, point in enumerate(points):
        if number == 0 or count == BLOCK_POINTS or size + point.size > BLOCK_BYTES:
            yield number
            size = count = 0
        size, count = size + point.size, count + 1


def _block(name: str, points: Sequence[Content]) -> pa.Table:
    ids = [point.id for point in points]
    if name == WEIGHTS:
        return pa.table(
            {"id": ids, WEIGHTS: pa.array([point.weights for point in points], pa.binary())}
        )
    if name == RESULTS:
        rows = pa.concat_tables([point.rows for point in points])
        for text in TEXTS:
            rows = rows.append_column(
                text, pa.array([point.texts[text] for point in points], pa.string())
            )
        return rows
    tables = [point.tables[name] for point in points]
    of = np.repeat(np.arange(len(points)), [len(table) for table in tables])
    return pa.concat_tables(tables).add_column(
        0, "id", pa.array(ids, pa.string()).take(pa.array(of, pa.int64()))
    )


def _ends(path: Path) -> list[tuple[int, str]]:
    """Where the pieces of a file end, with their digests: what precedes the row groups, each of
    them, the rest.
    """
    metadata, data = pq.read_metadata(path), path.read_bytes()
    ends = [4]  # the magic number
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(column) for column in range(group.num_columns)]
        starts = [
            min(at for at in (column.dictionary_page_offset, column.data_page_offset) if at)
            for column in columns
            if column.total_compressed_size
        ]
        sizes = [column.total_compressed_size for column in columns if column.total_compressed_size]
        ends.append(
            max((start + size for start, size in zip(starts, sizes, strict=True)), default=ends[-1])
        )
    ends.append(len(data))
    return [(end, digest(data[start:end])) for start, end in zip([0, *ends], ends, strict=False)]


def wrong_rows(rows: pa.Table, words: Mapping[str, Sequence[str]]) -> str | None:
    """What is wrong with columns of results.parquet."""
    for field in rows.schema:
        if field.type != ROWS.field(field.name).type:
            return f"{field.name} is of type {field.type}"
    for name, allowed in words.items():
        if name in rows.column_names and (
            other := set(pc.unique(rows[name]).to_pylist()) - {None, *allowed}
        ):
            return f"{name} {str(min(other))[:40]!r}"
    return None
