"""A study on disk. Needs no torch.

outputs/NAME/study.json        the last declaration, the fingerprint, every launch
outputs/NAME/points/ID/        config.yaml, overrides, result.json, weights.safetensors and the
                               tables of records.TABLES
outputs/NAME/parts/            compacted points; a folder in points/ is newer than a part's copy of
                               the same point
outputs/NAME/points.parquet    one row per point, rebuilt from the points, never the source
outputs/NAME/set-aside/        damaged files, kept for inspection

result.json holds its own digest and those of its point's files. A file that was truncated or has a
flipped bit is damaged, and its point counts as having no result.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import multiprocessing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import yaml  # comes with hydra's omegaconf
from safetensors import SafetensorError
from safetensors.numpy import load

from study.records import TABLES, StudyError
from study.store.atomic import write_whole
from study.store.compacted import Compacted, survey_part
from study.store.declaration import Declaration
from study.store.folders import Folders, survey_folders
from study.store.part import Content, Part
from study.store.point import CONFIG, WEIGHTS, Damaged, PointRecord, Version
from study.store.table import ROWS, arrow_table, frame_of, known, rows_of
from study.store.validate import mend

CHUNK = 1000  # points per job of a survey
T = TypeVar("T")


class Store:
    """The folder of one study. Every point is in a folder of its own or in a part; callers need
    not know which, and a compaction may move it at any time.
    """

    known = staticmethod(known)

    def __init__(self, folder: Path | str, without: Collection[str] = ()) -> None:
        """`without`: ids to skip, for callers that report these points by themselves."""
        self.folder, self.without = Path(folder), frozenset(without)
        self.points_folder = self.folder / "points"
        self.parts_folder = self.folder / "parts"
        self.aside = self.folder / "set-aside"
        self.declaration = Declaration(self.folder)
        self.folders, self.compacted = Folders(self.points_folder), Compacted(self.parts_folder)
        self.digests = self.folders.digests

    # --- study.json -------------------------------------------------------------------------------

    def study(self) -> dict[str, Any]:
        """study.json: schema, name, experiment, title, question, fingerprint, declaration,
        launches. Raises StudyError.
        """
        return self.declaration.read()

    def study_damage(self) -> str | None:
        """Why study.json cannot be relied on, a manual edit included; None if it can."""
        return self.declaration.damage()

    def check_mine(self, fingerprint: Mapping[str, Any]) -> None:
        """Raise StudyError unless a study with this fingerprint may be written to the folder."""
        self.declaration.check_folder(fingerprint)

    def declare(self, study: Mapping[str, Any], launch: Mapping[str, Any]) -> None:
        """Write study.json: `study` replaces the last declaration, `launch` joins the launches."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.declaration.declare(study, launch)
        # Not earlier: another launch that checks the folder in between would take it for a folder
        # that is no study's.
        self.points_folder.mkdir(exist_ok=True)

    def finish_launch(self, launch: str, **facts: Any) -> None:
        """Add to the launch with this id what is known only at its end (seconds, counts)."""
        self.declaration.finish_launch(launch, facts)

    # --- which points -----------------------------------------------------------------------------

    def names(self) -> set[str]:
        """Ids of all points, whole or not."""
        folders = self.folders.names()
        # In this order, a point that is compacted meanwhile is found at least once.
        return folders | self.compacted.names()

    def ids(self) -> list[str]:
        """Ids of the points stored, sorted."""
        names = self.names() - self.without
        compacted = self.compacted.holders()
        return sorted(name for name in names if name in compacted or self.folders.complete(name))

    def has(self, name: str) -> bool:
        """Whether a point, whole or not, or a part (parts/NNNN) exists."""
        if name.startswith("parts/"):
            return (self.folder / name).exists()
        return self.folders.has(name) or self.compacted.has(name)

    def ordered(self, ids: Iterable[str]) -> list[str]:
        """These ids in the order in which they are read fastest."""
        holders = self.compacted.holders()
        return sorted(
            ids,
            key=lambda id: (
                (part.name, part.place[id], id) if (part := holders.get(id)) else ("", 0, id)
            ),
        )

    def version(self, id: str) -> Version | None:
        """Changes whenever the point is written again, not when it is compacted; None if it is not
        stored.
        """
        version = self.folders.version(id)
        if version is None and not self.folders.has(id):
            version = self.compacted.version(id)
        return version

    def loose(self, id: str) -> Version | None:
        """The version of a point that has a folder of its own; None for all others."""
        return self.folders.version(id)

    def point_folder(self, id: str) -> Path:
        """Where a point's files are unless it is compacted; read them through this class."""
        return self.points_folder / id

    # --- the two backends -------------------------------------------------------------------------

    def _part(self, id: str) -> Part | None:
        """The part to read a point from; None if it has a folder, or does not exist."""
        return None if self.folders.has(id) else self.compacted.part_of(id)

    def _backend(self, part: Part | None) -> Folders | Compacted:
        return self.folders if part is None else self.compacted

    def _read(self, id: str, read: Callable[[Folders | Compacted], T]) -> T:
        """Read a point from where it is, and once more if a compaction has moved it meanwhile."""
        part = self._part(id)
        try:
            found = read(self._backend(part))
        except Damaged:
            again = self._part(id)
            if again is part:
                raise
            return read(self._backend(again))
        if found is None and part is None and self._part(id) is not None:
            return read(self.compacted)
        return found

    def unreadable(self) -> dict[str, str]:
        """{"parts/NNNN": what is wrong} for every part whose index is damaged."""
        return self.compacted.unreadable()

    def parts(self) -> list[Part]:
        """All readable parts, oldest first."""
        return self.compacted.parts()

    def live(self, part: Part) -> list[str]:
        """Ids in a part that are in no later part and have no folder."""
        holders = self.compacted.holders(fresh=True)
        return [id for id in part.ids if holders.get(id) is part and not self.folders.has(id)]

    def gone(self, part: Part) -> bool:
        """Whether a point of this part was set aside; the part still holds its bytes."""
        return self.compacted.has_gone(part)

    # --- reading a point --------------------------------------------------------------------------

    def result(self, id: str) -> dict[str, Any]:
        """result.json of a point: schema, id, row, labels, provenance, failure, files (their
        digests). Raises Damaged.
        """
        return self._read(id, lambda backend: backend.result(id))

    def status(self, id: str) -> str | None:
        """One of records.STATUSES; None if the point is not stored or its result.json is
        damaged.
        """
        try:
            return self._read(id, lambda backend: backend.status(id))
        except Damaged:
            return None

    def whole(self, id: str) -> dict[str, Any]:
        """result.json of a point, after every byte of its files was checked. Raises Damaged."""
        return self._read(id, lambda backend: backend.whole(id))

    def content(self, id: str) -> Content | None:
        """Everything of a point, checked, for compaction; None if a part cannot hold it.

        Raises Damaged.
        """
        return self._backend(self._part(id)).content(id)

    def config(self, id: str) -> dict[str, Any]:
        """The composed configuration of a point as plain values. Raises Damaged."""
        path = self.point_folder(id) / CONFIG
        text = self._read(id, lambda backend: backend.read(id, CONFIG))
        try:  # libyaml, where it is installed, is ten times as fast
            config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise Damaged(path, f"{type(error).__name__}: {error}") from error
        if not isinstance(config, dict):
            raise Damaged(path, "it is no mapping")
        return config

    def has_weights(self, id: str) -> bool:
        return self._read(id, lambda backend: backend.has_weights(id))

    def weights(self, id: str) -> dict[str, np.ndarray]:
        """The scored weights of a point, by tensor name. Raises Damaged."""
        try:
            return load(self._read(id, lambda backend: backend.read(id, WEIGHTS)))
        except SafetensorError as error:
            raise Damaged(self.point_folder(id) / WEIGHTS, error) from error

    def differs(self, record: PointRecord) -> str | None:
        """Name of the first training table whose stored numbers are not bit for bit those of the
        record; None if they are, or if the point is not stored.
        """
        if self.status(record.id) in (None, "failed"):
            return None
        for name in ("history", "test"):
            stored = self.table(name, [record.id])
            new = arrow_table(record.tables.get(name, {}), TABLES[name]).to_pandas()
            if len(stored) != len(new) or any(
                not _equal(stored[column], new[column]) for column in new.columns
            ):
                return name
        return None

    # --- reading many points ----------------------------------------------------------------------

    def points(self, processes: int = 1) -> pd.DataFrame:
        """One row per stored point: the columns of records.POINTS, then one per further factor.

        Raises Damaged.
        """
        points, damaged = self.survey(whole=False, processes=processes)
        for id, why in damaged.items():
            if id.startswith("parts/"):
                raise StudyError(f"{self.folder / id}: {why} {mend(self.folder)}")
            if self.version(id) is not None:
                self.result(id)  # raises
        return points

    def table(self, name: str, ids: Iterable[str]) -> pd.DataFrame:
        """The rows of one of records.TABLES for these points, with the id as first column. Points
        without this table add no rows. Raises Damaged.
        """
        ids = list(ids)
        found = {
            id: self._read(id, lambda backend, id=id: backend.table(id, name))  # type: ignore[misc]
            for id in self.ordered(ids)
        }
        tables = [table for id in ids if (table := found[id]) is not None]
        names = ["id", *(column.name for column in TABLES[name])]
        if not tables:
            return pd.DataFrame(columns=names)
        # One conversion for all points: a thousand small frames take three times as long.
        together = pa.concat_tables(tables, promote_options="permissive")
        return together.to_pandas().reindex(columns=names)

    def damage(self, id: str) -> str | None:
        """Why a point, or a part (parts/NNNN), must not be used; None if nothing is wrong."""
        if id.startswith("parts/"):
            return self.unreadable().get(id)
        try:
            self.whole(id)
        except Damaged as error:
            return error.why
        return None

    def damaged(self, processes: int = 1) -> dict[str, str]:
        """{id: what is wrong} for every damaged point and every unreadable part (parts/NNNN)."""
        return self.survey(processes=processes)[1]

    def survey(
        self, *, whole: bool = True, processes: int = 1
    ) -> tuple[pd.DataFrame, dict[str, str]]:
        """The points table without damaged points, and what is wrong with these.

        `whole`: check every byte of every file, else only what the table needs. No file is read
        twice. `processes` share the work if there are many points.
        """
        found = _run(self._survey_jobs(whole), processes)
        damaged = {id: why for _, wrong in found for id, why in wrong.items()}
        # Compacted, replaced or removed while it was read:
        changed = [id for id in damaged if not self.has(id) or self.damage(id) is None]
        rows = [
            ROWS.empty_table(),
            *(rows for rows, _ in found),
            rows_of([self.result(id) for id in changed if self.has(id)]),
        ]
        damaged = {id: why for id, why in damaged.items() if id not in changed}
        damaged |= {
            name: why for name, why in self.unreadable().items() if name not in self.without
        }
        table = pa.concat_tables(rows)
        points = frame_of(table.take(pc.sort_indices(table["id"])))
        return points, dict(sorted(damaged.items()))

    def _survey_jobs(self, whole: bool) -> list[tuple[Callable[..., Any], Any, list[str], bool]]:
        """(function, its argument, ids, whole), covering every point once."""
        names = self.names() - self.without
        loose = sorted(name for name in names if self._part(name) is None)
        by_part: dict[str, list[str]] = {}
        for id, part in self.compacted.holders().items():
            if id not in self.without and not self.folders.has(id):
                by_part.setdefault(part.name, []).append(id)
        jobs: list[tuple[Callable[..., Any], Any, list[str], bool]] = [
            (survey_part, self.compacted.part(name), ids, whole) for name, ids in by_part.items()
        ]
        jobs += [
            (survey_folders, self.points_folder, loose[start : start + CHUNK], whole)
            for start in range(0, len(loose), CHUNK)
        ]
        return jobs

    # --- writing ----------------------------------------------------------------------------------

    def write(self, record: PointRecord) -> None:
        """Store a point, all its files or none; it replaces an earlier one with the same id."""
        self.folders.write(record)

    def tidy(self, busy: Collection[str]) -> None:
        """Clean up after processes that were killed while they stored a point, except for points
        in `busy`.
        """
        self.folders.tidy(busy)

    def write_points_table(self) -> Path:
        """Rebuild points.parquet from all points that are not damaged."""
        path = self.folder / "points.parquet"
        points = self.survey(whole=False)[0]
        write_whole(path, lambda partial: points.to_parquet(partial, index=False))
        return path

    def set_aside(self, name: str) -> Path:
        """Move a damaged point, a part (parts/NNNN) or a file of the study (study.json,
        search/search.json) to the folder set-aside/; returns its new path.
        """
        self.aside.mkdir(exist_ok=True)
        plain = name.replace("/", "-") if name.startswith("parts/") else Path(name).name
        target = next(
            path
            for number in itertools.count()
            if not (path := self.aside / f"{plain}.{number}").exists()
        )
        if name == "study.json" or "/" in name:
            return (self.folder / name).rename(target)
        return self._backend(self._part(name)).set_aside(name, target)


def _run(
    jobs: Sequence[tuple[Callable[..., Any], Any, list[str], bool]], processes: int
) -> list[tuple[pa.Table, dict[str, str]]]:
    """The results of all jobs, from forked processes if there are many points."""
    if processes > 1 and sum(len(ids) for _, _, ids, _ in jobs) > 2 * CHUNK:
        fork = multiprocessing.get_context("fork")
        with (
            # One was killed, perhaps for lack of memory: then everything runs here.
            contextlib.suppress(BrokenProcessPool),
            concurrent.futures.ProcessPoolExecutor(processes, fork) as pool,
        ):
            futures = [pool.submit(function, *arguments) for function, *arguments in jobs]
            return [future.result() for future in futures]
    return [function(*arguments) for function, *arguments in jobs]


def _equal(one: pd.Series, other: pd.Series) -> bool:
    return bool(
        np.array_equal(
            one.to_numpy(dtype=float, na_value=np.nan),
            other.to_numpy(dtype=float, na_value=np.nan),
            equal_nan=True,
        )
    )
