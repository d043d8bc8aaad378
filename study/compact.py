"""Put the finished points of a study into few files: python -m study.compact DIR.

What a part holds (study/store/compacted.py) is read by every command as a folder is. A part is
written whole, read again and compared before it is given its name; only then the folders of its
points are taken away, one by one. So that a kill at any moment loses nothing and doubles nothing: a
folder counts before a part, a later part before an earlier one, and the next run ends what was
begun. Failed points, damaged ones, and those that a launch holds stay as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from study.config.paths import conf_folder
from study.records import StudyError
from study.store import Damaged, Store
from study.store.atomic import sync
from study.store.compacted import NAME, RESULTS, TEXTS, WEIGHTS, Broken, Content, Part, write
from study.store.leases import Leases

LEASE = "compact"  # held by the one process that compacts
POINTS, BYTES = (
    1000,
    2**28,
)  # most of one part; less than half of the points is few, and joins others
WAITING = 2**29  # bytes of points that wait for their part to be full


@dataclass
class Report:
    """What was done: points and parts, bytes before and after, and what is left as it is, by the
    reason.
    """

    points: int = 0
    parts: int = 0
    before: int = 0
    after: int = 0
    failed: int = 0
    busy: int = 0
    other: int = 0
    damaged: int = 0

    def __str__(self) -> str:
        told = f"{self.points:,} points compacted into {self.parts} parts"
        told += (
            f": {self.after / 1e6:,.1f} MB instead of {self.before / 1e6:,.1f}"
            if self.points
            else ""
        )
        left = {
            "failed": self.failed,
            "being trained": self.busy,
            "damaged": self.damaged,
            "with files that a part does not know": self.other,
        }
        said = ", ".join(f"{number} {why}" for why, number in left.items() if number)
        return told + (f"; left as they are: {said}" if said else "")


def compact(folder: Path) -> Report:
    """Compact what is finished. Raises StudyError."""
    store, report = Store(folder), Report()
    store.study()
    with Leases(folder, _lease_seconds()) as leases:
        if not leases.take(LEASE):
            raise StudyError(f"{folder}: another process is compacting this study")
        try:
            store.parts_folder.mkdir(exist_ok=True)
            _clear(store.parts_folder, (".partial-", ".done-"))
            _settle(store, leases)
            for points in _batches(store, leases, report):
                part = _add(store, points)
                report.points, report.parts = report.points + len(points), report.parts + 1
                report.before += sum(point.size for point in points)
                report.after += sum(path.stat().st_size for path in part.folder.iterdir())
                _drop(store, leases, part, part.ids)
            _retire(store)
        except OSError as error:
            raise StudyError(
                f"{folder}: cannot be compacted further ({error.strerror or error}); nothing is"
                " lost, the same command goes on"
            ) from error
    return report


def _lease_seconds() -> float:
    return float(
        yaml.safe_load((conf_folder() / "config.yaml").read_text(encoding="utf-8"))["store"][
            "lease_seconds"
        ]
    )


def _clear(folder: Path, prefixes: tuple[str, ...]) -> None:
    """What a compaction that was killed has left: parts without a name yet, and folders that a part
    has.
    """
    for path in folder.iterdir():
        if path.name.startswith(prefixes):
            shutil.rmtree(path)


def _settle(store: Store, leases: Leases) -> None:
    """Folders whose very points are in a part and sound there: somebody was killed before they were
    taken away.
    """
    for part in store.parts():
        bad = {number for name in part.ends for number in part.damaged(name)}
        _drop(store, leases, part, [id for id in part.ids if part.block_of(id) not in bad])


def _drop(store: Store, leases: Leases, part: Part, ids: Iterable[str]) -> None:
    """Take away the folders of a part's points, each at once; not of one that was stored again
    since, or that a launch is about to.
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


def _batches(store: Store, leases: Leases, report: Report) -> Iterator[list[Content]]:
    """The points of one part after the other, of one shape each, first seeds of all arms first:
    they are read together.
    """
    waiting: dict[str, list[Content]] = {}
    for id in _candidates(store, leases, report):
        with contextlib.suppress(FileNotFoundError):  # a launch is storing it again
            try:
                point = store.content(id)
            except Damaged:
                report.damaged += 1
                continue
            if point is None:
                report.other += 1
                continue
            mine = waiting.setdefault(point.shape, [])
            mine.append(point)
            if len(mine) == POINTS or sum(one.size for one in mine) > BYTES:
                yield waiting.pop(point.shape)
            elif sum(one.size for of in waiting.values() for one in of) > WAITING:
                yield waiting.pop(
                    max(waiting, key=lambda shape: sum(one.size for one in waiting[shape]))
                )
    for shape, few in _few(store).items():
        if len(few) + (shape in waiting) > 1:
            waiting.setdefault(shape, []).extend(
                point for ids in few for id in ids if (point := store.content(id)) is not None
            )
    for points in waiting.values():
        for start in range(0, len(points), POINTS):
            yield points[start : start + POINTS]


def _candidates(store: Store, leases: Leases, report: Report) -> list[str]:
    points, damaged = store.survey(whole=False)
    loose = points[[store.loose(id) is not None for id in points["id"]]]
    busy = leases.busy()
    report.damaged = len(damaged)
    report.failed = int((loose["status"] == "failed").sum())
    report.busy = int(((loose["status"] != "failed") & loose["id"].isin(busy)).sum())
    finished = loose[(loose["status"] != "failed") & ~loose["id"].isin(busy)]
    return list(finished.sort_values(["seed", "id"])["id"])


def _few(store: Store) -> dict[str, list[list[str]]]:
    """The points of sound parts that hold few, a list a part, by their shape."""
    few: dict[str, list[list[str]]] = {}
    for part in store.parts():
        ids = store.live(part)
        if (
            ids
            and len(ids) <= POINTS // 2
            and not store.gone(part)
            and not any(part.damaged(name) for name in part.ends)
        ):
            point = store.content(ids[0])
            if point is not None:
                few.setdefault(point.shape, []).append(ids)
    return few


def _add(store: Store, points: Sequence[Content]) -> Part:
    """Write the next part: it is there when its folder has its name."""
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=store.parts_folder))
    try:
        partial.chmod(0o755)
        write(partial, points)
        _compare(Part.read(partial), points)
        last = max(
            (int(path.name) for path in store.parts_folder.iterdir() if NAME.fullmatch(path.name)),
            default=0,
        )
        folder = partial.rename(store.parts_folder / f"{last + 1:04}")
        sync(store.parts_folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Part.read(folder)


def _compare(part: Part, points: Sequence[Content]) -> None:
    """Whether everything reads as it was before, bit for bit."""
    for number, (start, end) in enumerate(itertools.pairwise(part.blocks)):
        mine = points[start:end]
        results = part.block(RESULTS, number)
        wrong = any(
            results[text].to_pylist() != [point.texts[text] for point in mine] for text in TEXTS
        )
        wrong = wrong or not _same(
            results.drop_columns(TEXTS), pa.concat_tables([point.rows for point in mine])
        )
        for name in part.rows:
            wrong = wrong or not _same(
                part.block(name, number).drop_columns("id"),
                pa.concat_tables([point.tables[name] for point in mine]),
            )
        if WEIGHTS in part.ends:
            wrong = wrong or part.block(WEIGHTS, number)[WEIGHTS].to_pylist() != [
                point.weights for point in mine
            ]
        if wrong:
            raise Broken(f"points {mine[0].id} to {mine[-1].id} do not read as they were")


def _same(one: pa.Table, other: pa.Table) -> bool:
    """Equal, and NaN is what it was."""
    return one.column_names == other.column_names and all(
        _bits(a).equals(_bits(b)) for a, b in zip(one.columns, other.columns, strict=True)
    )


def _bits(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return array.view(pa.int64()) if array.type == pa.float64() else array


def _retire(store: Store) -> None:
    """Take away parts of which every point is in a later one or stored again; one that holds what
    was set aside stays.
    """
    for part in store.parts():
        if not store.live(part) and not store.gone(part):
            done = Path(tempfile.mkdtemp(prefix=".done-", dir=store.parts_folder))
            part.folder.rename(done / part.name)
            shutil.rmtree(done)
    sync(store.parts_folder)
    with contextlib.suppress(OSError):  # nothing was compacted
        store.parts_folder.rmdir()


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0; 1 where damaged points were left; 2 after a line that says what was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m study.compact", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="folder of a study, such as outputs/digits"
    )
    asked: Any = parser.parse_args(arguments)
    try:
        report = compact(asked.folder)
    except (StudyError, Broken) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{asked.folder.name or os.fspath(asked.folder)}: {report}")
    if report.damaged:
        print(
            f"error: {report.damaged} damaged; python -m reports status {asked.folder} tells which,"
            " --repair sets them aside",
            file=sys.stderr,
        )
    return int(report.damaged > 0)


if __name__ == "__main__":
    sys.exit(main())
