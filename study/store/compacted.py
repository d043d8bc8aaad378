"""Points in parts, parts/NNNN/: the counterpart of study.store.folders, with the same methods.

parts/0001/                 many points (study/store/part.py); of two parts that hold the same
                            point, the later one counts
parts/0001.gone.ID          this point was set aside: it no longer belongs to the part
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from study.records import TABLES
from study.store.atomic import sync
from study.store.part import RESULTS, TEXTS, Broken, Content, Part
from study.store.part import WEIGHTS as WEIGHTS_FILE
from study.store.point import RESULT, WEIGHTS, Damaged, Version, parse_result, reason
from study.store.table import ROWS, rows_of, wrong_rows

NAME = re.compile(r"[0-9]{4,9}", re.ASCII)
GONE = re.compile(r"([0-9]{4,9})\.gone\.(.+)", re.ASCII)
CACHED_BLOCKS = 24  # decoded blocks that stay in memory


class Compacted:
    """The folder parts/ of one study.

    The index of every part is read once; `holders` notices parts that appear or vanish. All other
    methods expect an id that was just found there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # When the folder was last modified, and its entries then.
        self._listing: tuple[int, tuple[str, ...]] = (0, ())
        self._parts: dict[str, Part] = {}  # readable parts by name, in ascending order
        self._unreadable: dict[str, str] = {}  # name of a part -> what is wrong with its index
        self._holders: dict[str, Part] = {}
        self._blocks: OrderedDict[tuple[object, ...], pa.Table] = OrderedDict()
        # (part, file, its time, its size) -> Part.damaged
        self._damage: dict[tuple[object, ...], dict[int, str]] = {}
        self._statuses: dict[str, list[str | None]] = {}  # of the points of a part, by place

    # --- which points -----------------------------------------------------------------------------

    def holders(self, fresh: bool = False) -> dict[str, Part]:
        """{id: the part that counts for it} for every compacted point.

        `fresh`: list the folder even if its modification time is unchanged, since two changes may
        fall into one tick of the clock.
        """
        try:
            changed = os.stat(self.folder).st_mtime_ns
            if changed == self._listing[0] and not fresh:
                return self._holders
            listing = (changed, tuple(sorted(os.listdir(self.folder))))
        except (FileNotFoundError, NotADirectoryError):
            listing = (0, ())
        if listing[1] != self._listing[1]:
            self._read_indexes(listing[1])
        self._listing = listing
        return self._holders

    def _read_indexes(self, entries: Sequence[str]) -> None:
        names = sorted((name for name in entries if NAME.fullmatch(name)), key=int)
        known, self._parts, self._unreadable = self._parts, {}, {}
        for name in names:
            try:
                self._parts[name] = known.get(name) or Part.read(self.folder / name)
            except Broken as error:
                self._unreadable[name] = f"{error}."
        gone = {(found[1], found[2]) for name in entries if (found := GONE.fullmatch(name))}
        self._holders = {
            id: part
            for name, part in self._parts.items()
            for id in part.ids
            if (name, id) not in gone
        }

    def part_of(self, id: str) -> Part | None:
        """The part that holds a point."""
        return self.holders().get(id) or self.holders(fresh=True).get(id)

    def parts(self) -> list[Part]:
        """All readable parts, oldest first."""
        self.holders(fresh=True)
        return list(self._parts.values())

    def part(self, name: str) -> Part:
        return self._parts[name]

    def unreadable(self) -> dict[str, str]:
        """{"parts/NNNN": what is wrong} for every part whose index is damaged."""
        self.holders(fresh=True)
        return {f"parts/{name}": why for name, why in self._unreadable.items()}

    def has_gone(self, part: Part) -> bool:
        """Whether a point of this part was set aside; the part still holds its bytes."""
        return any(
            (found := GONE.fullmatch(name)) and found[1] == part.name for name in self._listing[1]
        )

    def names(self) -> set[str]:
        return set(self.holders(fresh=True))

    def has(self, id: str) -> bool:
        return self.part_of(id) is not None

    def version(self, id: str) -> Version | None:
        """The version the point had in its folder: compaction does not change it."""
        part = self.part_of(id)
        return None if part is None else part.versions[part.place[id]]

    # --- reading ----------------------------------------------------------------------------------

    def result(self, id: str) -> dict[str, Any]:
        """The content of result.json. Raises Damaged."""
        try:
            return parse_result(self.read(id, RESULT), id)
        except (ValueError, RecursionError) as error:
            path = self._holders[id].path(RESULTS)
            raise Damaged(path, f"{RESULT} of {id}: {reason(error)}") from error

    def status(self, id: str) -> str | None:
        """One of records.STATUSES, read for a whole part at once; None if damaged."""
        part = self._holders[id]
        if part.name not in self._statuses:
            statuses: list[str | None] = []
            for number, (start, end) in enumerate(itertools.pairwise(part.blocks)):
                try:
                    statuses += part.block(RESULTS, number, ["status"])["status"].to_pylist()
                except Broken:
                    statuses += [None] * (end - start)
            self._statuses[part.name] = statuses
        return self._statuses[part.name][part.place[id]]

    def whole(self, id: str) -> dict[str, Any]:
        """The content of result.json, after all files of the part were checked. Raises Damaged."""
        part = self._holders[id]
        for name in part.ends:
            path = part.path(name)
            try:
                status = os.stat(path)
            except OSError as error:
                raise Damaged(path, error.strerror) from error
            key = (part.name, name, status.st_mtime_ns, status.st_size)
            if key not in self._damage:
                self._damage[key] = part.damaged(name)
            if why := self._damage[key].get(part.block_of(id)):
                raise Damaged(path, why)
        return self.result(id)

    def read(self, id: str, name: str) -> bytes:
        """The content of result.json, config.yaml, overrides or the weights, as it was in the
        point's folder. Raises Damaged.
        """
        part = self._holders[id]
        if name == WEIGHTS:
            weights = self._block(part, WEIGHTS_FILE, id)[WEIGHTS_FILE]
            data: bytes = weights[part.offset(id)].as_py()
            return data
        column = TEXTS[name]
        texts = self._block(part, RESULTS, id, [column])[column]
        return str(texts[part.offset(id)].as_py()).encode()

    def table(self, id: str, name: str) -> pa.Table | None:
        """The rows of a table, with the id as first column; None if the point has no such table."""
        part = self._holders[id]
        return part.table(name, id, self._block(part, name, id)) if name in part.rows else None

    def has_weights(self, id: str) -> bool:
        return WEIGHTS_FILE in self._holders[id].ends

    def content(self, id: str) -> Content | None:
        """Everything of a point, checked, for another part. Raises Damaged."""
        part = self._holders[id]
        rows = rows_of([self.whole(id)])
        texts = {column: self.read(id, name).decode() for name, column in TEXTS.items()}
        tables = {
            name: table.drop_columns("id")
            for name in part.rows
            if (table := self.table(id, name)) is not None
        }
        weights = self.read(id, WEIGHTS) if self.has_weights(id) else None
        size = sum(map(len, texts.values())) + sum(table.nbytes for table in tables.values())
        size += len(weights or b"")
        return Content(id, part.versions[part.place[id]], rows, texts, tables, weights, size)

    def _block(
        self, part: Part, name: str, id: str, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """The block of a file that holds a point, from the cache where possible."""
        number = part.block_of(id)
        key = (part.name, name, number, columns and tuple(columns))
        if key not in self._blocks:
            try:
                self._blocks[key] = part.block(name, number, columns, dictionary=name in TABLES)
            except Broken as error:
                raise Damaged(part.path(name), error) from error
            if len(self._blocks) > CACHED_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return self._blocks[key]

    # --- writing ----------------------------------------------------------------------------------

    def set_aside(self, id: str, target: Path) -> Path:
        """Mark a point as gone from its part, which keeps its bytes; whatever can still be read is
        written to the folder `target`.
        """
        part = self._holders[id]
        partial = Path(tempfile.mkdtemp(prefix=f".partial-{id}-", dir=target.parent))
        partial.chmod(0o755)
        for name in (*TEXTS, *([WEIGHTS] if self.has_weights(id) else [])):
            with contextlib.suppress(Damaged):
                (partial / name).write_bytes(self.read(id, name))
        for name in part.rows:
            with contextlib.suppress(Damaged):
                if (table := self.table(id, name)) is not None:
                    path = partial / f"{name}.parquet"
                    pq.write_table(table.drop_columns("id"), path, compression="zstd")
        (partial / "damaged").write_text(
            f"{self._why(id)}Its other bytes are in parts/{part.name}.\n", encoding="utf-8"
        )
        partial.rename(target)
        (self.folder / f"{part.name}.gone.{id}").touch()
        sync(self.folder)
        return target

    def _why(self, id: str) -> str:
        try:
            self.whole(id)
        except Damaged as error:
            return f"{error.why} "
        return ""


def survey_part(part: Part, ids: Sequence[str], whole: bool) -> tuple[pa.Table, dict[str, str]]:
    """Rows of these points, and why the damaged ones have none; may run in another process."""
    bad: dict[int, str] = {}  # block -> what is wrong with it, by the first file that says so
    for name in part.ends if whole else ():
        bad = {number: _why(part, name, why) for number, why in part.damaged(name).items()} | bad
    wanted = sorted({part.block_of(id) for id in ids} - bad.keys())
    try:
        tables = [_rows(part, wanted)] if wanted else []
    except Broken:  # in one of the blocks: read each by itself
        tables = []
        for number in wanted:
            try:
                tables.append(_rows(part, number))
            except Broken as error:
                bad[number] = _why(part, RESULTS, error)
    if len(ids) < len(part.ids):
        chosen = pa.array(sorted(ids), pa.string())
        tables = [table.filter(pc.is_in(table["id"], chosen)) for table in tables]
    wrong = {id: why for id in ids if (why := bad.get(part.block_of(id)))}
    return pa.concat_tables([ROWS.empty_table(), *tables], promote_options="default"), wrong


def _rows(part: Part, numbers: int | Sequence[int]) -> pa.Table:
    """The rows of all points of some blocks. Raises Broken."""
    rows = part.block(RESULTS, numbers, ROWS.names)
    if wrong := wrong_rows(rows):
        raise Broken(wrong)
    return rows


def _why(part: Part, name: str, why: object) -> str:
    return f"parts/{part.name}/{part.path(name).name}: damaged ({why})."
