"""Moves the finished points of a study from their folders into parts.

A part is written completely, read back and compared before it gets its name; only then are its
points' folders removed, one by one. A kill at any moment therefore loses and duplicates nothing: a
folder counts before a part, a later part before an earlier one, and the next run completes what was
begun. Failed points, damaged points and points leased by a launch stay in their folders.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from study.records import StudyError
from study.store.atomic import sync
from study.store.compacted import NAME
from study.store.leases import Leases
from study.store.part import RESULTS, TEXTS, WEIGHTS, Broken, Content, Part, write_part
from study.store.point import Damaged
from study.store.store import Store

LEASE = "compact"  # held by the one process that compacts
# Upper limits of one part. A part with at most half as many points is small and is merged.
POINTS, BYTES = 1000, 2**28
WAITING_BYTES = 2**29  # of points in memory that wait for their part to fill up


@dataclass
class Report:
    """Points and parts written, bytes before and after, and points left in folders, by reason."""

    points: int = 0
    parts: int = 0
    before: int = 0
    after: int = 0
    failed: int = 0
    busy: int = 0
    other: int = 0
    damaged: int = 0

    def __str__(self) -> str:
        text = f"{self.points:,} points compacted into {self.parts} parts"
        if self.points:
            text += f": {self.after / 1e6:,.1f} MB instead of {self.before / 1e6:,.1f}"
        left = {
            "failed": self.failed,
            "being trained": self.busy,
            "damaged": self.damaged,
            "with files that a part cannot hold": self.other,
        }
        reasons = ", ".join(f"{number} {why}" for why, number in left.items() if number)
        return text + (f"; left as they are: {reasons}" if reasons else "")


def compact(folder: Path, lease_seconds: float) -> Report:
    """Compact the finished points of a study. Raises StudyError, Broken."""
    store, report = Store(folder), Report()
    store.study()
    with Leases(folder, lease_seconds) as leases:
        if not leases.take(LEASE):
            raise StudyError(f"{folder}: another process is compacting this study")
        try:
            store.parts_folder.mkdir(exist_ok=True)
            # Git keeps no empty folder: a compacted study that was checked out has none.
            store.points_folder.mkdir(exist_ok=True)
            _remove_leftovers(store.parts_folder)
            _finish_earlier(store, leases)
            for points in _batches(store, leases, report):
                part = _add_part(store, points)
                report.points, report.parts = report.points + len(points), report.parts + 1
                report.before += sum(point.size for point in points)
                report.after += sum(path.stat().st_size for path in part.folder.iterdir())
                _remove_folders(store, leases, part, part.ids)
            _remove_superseded(store)
        except OSError as error:
            raise StudyError(
                f"{folder}: compaction stopped ({error.strerror or error}); nothing is lost, and"
                " the same command continues"
            ) from error
    return report


# --- after a compaction that was killed -----------------------------------------------------------


def _remove_leftovers(folder: Path) -> None:
    """Unfinished parts, and folders whose points are in a part already."""
    for path in folder.iterdir():
        if path.name.startswith((".partial-", ".done-")):
            shutil.rmtree(path)


def _finish_earlier(store: Store, leases: Leases) -> None:
    """Remove folders whose points, in the same version, are in an undamaged block of a part."""
    for part in store.parts():
        bad = {number for name in part.ends for number in part.damaged(name)}
        _remove_folders(
            store, leases, part, [id for id in part.ids if part.block_of(id) not in bad]
        )


def _remove_folders(store: Store, leases: Leases, part: Part, ids: Iterable[str]) -> None:
    """Remove the folders of a part's points, each by one rename; a point that was stored again
    meanwhile, or that a launch has leased, keeps its folder.
    """
    done = Path(tempfile.mkdtemp(prefix=".done-", dir=store.parts_folder))
    for id in ids:
        version = part.versions[part.place[id]]
        if store.loose(id) == version and leases.take(id):
            try:
                if store.loose(id) == version:
                    store.point_folder(id).rename(done / id)
            finally:
                leases.release([id])
    sync(store.points_folder)
    shutil.rmtree(done)


# --- which points form a part ---------------------------------------------------------------------


def _batches(store: Store, leases: Leases, report: Report) -> Iterator[list[Content]]:
    """The points of one new part after the other; points of a part have the same shape."""
    waiting: dict[str, list[Content]] = {}
    for id in _candidates(store, leases, report):
        with contextlib.suppress(FileNotFoundError):  # a launch is storing it again
            point = _content(store, id, report)
            if point is None:
                continue
            batch = waiting.setdefault(point.shape, [])
            batch.append(point)
            if len(batch) == POINTS or _size(batch) > BYTES:
                yield waiting.pop(point.shape)
            elif sum(map(_size, waiting.values())) > WAITING_BYTES:
                yield waiting.pop(max(waiting, key=lambda shape: _size(waiting[shape])))
    for shape, small in _small_parts(store).items():
        if len(small) + (shape in waiting) > 1:  # else a part would only be written once more
            waiting.setdefault(shape, []).extend(
                point for ids in small for id in ids if (point := store.content(id)) is not None
            )
    for points in waiting.values():
        for start in range(0, len(points), POINTS):
            yield points[start : start + POINTS]


def _candidates(store: Store, leases: Leases, report: Report) -> list[str]:
    """Finished points in folders, the first seeds of all arms first: they are read together."""
    points, damaged = store.survey(whole=False)
    loose = points[[store.loose(id) is not None for id in points["id"]]]
    failed, busy = loose["status"] == "failed", loose["id"].isin(leases.busy())
    report.damaged = len(damaged)
    report.failed = int(failed.sum())
    report.busy = int((~failed & busy).sum())
    return list(loose[~failed & ~busy].sort_values(["seed", "id"])["id"])


def _content(store: Store, id: str, report: Report) -> Content | None:
    try:
        point = store.content(id)
    except Damaged:
        report.damaged += 1
        return None
    report.other += point is None
    return point


def _size(points: Sequence[Content]) -> int:
    return sum(point.size for point in points)


def _small_parts(store: Store) -> dict[str, list[list[str]]]:
    """{shape: ids of each undamaged part that is small}."""
    small: dict[str, list[list[str]]] = {}
    for part in store.parts():
        ids = store.live(part)
        if (
            0 < len(ids) <= POINTS // 2
            and not store.gone(part)
            and not any(part.damaged(name) for name in part.ends)
        ):
            point = store.content(ids[0])
            if point is not None:
                small.setdefault(point.shape, []).append(ids)
    return small


# --- parts ----------------------------------------------------------------------------------------


def _add_part(store: Store, points: Sequence[Content]) -> Part:
    """Write the next part; it exists from the moment its folder has its name."""
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=store.parts_folder))
    try:
        partial.chmod(0o755)
        write_part(partial, points)
        _compare(Part.read(partial), points)
        numbers = (
            int(path.name) for path in store.parts_folder.iterdir() if NAME.fullmatch(path.name)
        )
        folder = partial.rename(store.parts_folder / f"{max(numbers, default=0) + 1:04}")
        sync(store.parts_folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Part.read(folder)


def _compare(part: Part, points: Sequence[Content]) -> None:
    """Raise Broken unless everything reads bit for bit as before."""
    for number, (start, end) in enumerate(itertools.pairwise(part.blocks)):
        block = points[start:end]
        if not _block_equals(part, number, block):
            raise Broken(f"points {block[0].id} to {block[-1].id} do not read as before")


def _block_equals(part: Part, number: int, points: Sequence[Content]) -> bool:
    results = part.block(RESULTS, number)
    columns = list(TEXTS.values())
    return (
        all(
            results[text].to_pylist() == [point.texts[text] for point in points] for text in columns
        )
        and _same(results.drop_columns(columns), pa.concat_tables([each.rows for each in points]))
        and all(
            _same(
                part.block(name, number).drop_columns("id"),
                pa.concat_tables([point.tables[name] for point in points]),
            )
            for name in part.rows
        )
        and (
            WEIGHTS not in part.ends
            or part.block(WEIGHTS, number)[WEIGHTS].to_pylist()
            == [point.weights for point in points]
        )
    )


def _same(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables are equal bit for bit, NaN included."""
    return one.column_names == other.column_names and all(
        _bits(a).equals(_bits(b)) for a, b in zip(one.columns, other.columns, strict=True)
    )


def _bits(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return array.view(pa.int64()) if array.type == pa.float64() else array


def _remove_superseded(store: Store) -> None:
    """Remove parts whose points are all in later parts or in folders again; a part of which a point
    was set aside stays.
    """
    for part in store.parts():
        if not store.live(part) and not store.gone(part):
            done = Path(tempfile.mkdtemp(prefix=".done-", dir=store.parts_folder))
            part.folder.rename(done / part.name)
            shutil.rmtree(done)
    sync(store.parts_folder)
    with contextlib.suppress(OSError):  # not empty; it is empty if nothing was compacted
        store.parts_folder.rmdir()
