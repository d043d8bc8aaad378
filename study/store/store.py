"""A study on disk. Every point is a directory, written whole or not at all. Needs no torch.

outputs/NAME/study.json        the last declaration, the fingerprint, every launch
outputs/NAME/points/ID/        config.yaml, overrides, result.json, weights.safetensors and the
                               tables of records.TABLES
outputs/NAME/parts/            compacted points (study/store/compacted.py); a folder in points/ is
                               newer than a part's copy of the same point
outputs/NAME/points.parquet    one row per point, rebuilt from points/, never the source
outputs/NAME/set-aside/        damaged files, kept for inspection

result.json holds the digests of its point's files and its own: a file that was cut short or has a
flipped bit is damaged, and the point counts as having no result.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import itertools
import json
import multiprocessing
import os
import re
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml  # comes with hydra's omegaconf
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from study.records import POINTS, SCHEMA, TABLES, StudyError
from study.store.atomic import swap_in, sync, writable, write_whole
from study.store.compacted import (
    ARROW,
    GONE,
    NAME,
    RESULTS,
    ROWS,
    Broken,
    Content,
    Part,
    arrow,
    wrong_rows,
)
from study.store.compacted import WEIGHTS as WEIGHTS_PART
from study.store.digests import digest, holds, signed
from study.store.validate import MEND, WORDS, wrong_result, wrong_study

NUMBER: Mapping[str, Callable[[Any], int | float]] = {"int": int, "float": float}
KINDS = {column.name: column.kind for column in POINTS}
PANDAS = {"str": "string", "int": "Int64", "float": "float64", "bool": "boolean"}
RESULT, CONFIG, OVERRIDES, WEIGHTS = (
    "result.json",
    "config.yaml",
    "overrides",
    "weights.safetensors",
)
TEXT_OF = {
    RESULT: "result",
    CONFIG: "config",
    OVERRIDES: "overrides",
}  # columns of a part's results
SHARE = 1000  # points that a process is given to survey at a time
KEPT = 24  # blocks of parts that stay decoded
T = TypeVar("T")


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
    """A point could not be written: a full disk, a folder that is read-only now.

    No point's fault.
    """


class Damaged(StudyError):
    """A file of a point that is not what was written; `why` leaves out where it is and what can be
    done.
    """

    def __init__(self, path: Path, why: object) -> None:
        where = "/".join(path.parts[-3:]) if path.parent.parent.name == "parts" else path.name
        self.why = f"{where}: damaged ({why})."
        super().__init__(f"{path}: damaged ({why}). {MEND}")


class Store:
    """The folder of one study."""

    def __init__(self, folder: Path | str, without: Collection[str] = ()) -> None:
        """`without`: ids that are looked past, as damaged ones are by whoever names them apart."""
        self.folder, self.without = Path(folder), frozenset(without)
        self.points_folder, self.aside, self.parts_folder = (
            self.folder / "points",
            self.folder / "set-aside",
            self.folder / "parts",
        )
        self._points = str(self.points_folder)
        self._listed: tuple[int, tuple[str, ...]] = (
            0,
            (),
        )  # when parts/ was changed last, and what was in it
        self._read_parts: dict[str, Part] = {}
        self._broken: dict[str, str] = {}  # parts whose index cannot be read: {name: why}
        self._part_of: dict[str, Part] = {}
        self._blocks: OrderedDict[tuple[object, ...], pa.Table] = OrderedDict()  # decoded last
        self._checked: dict[
            tuple[object, ...], dict[int, str]
        ] = {}  # what is wrong with a part's file, of this time and size, by block
        self._statuses: dict[str, list[str | None]] = {}  # of the points of a part
        self.digests: dict[
            str, tuple[tuple[int, int] | None, Mapping[str, str]]
        ] = {}  # of the files of points that were read, with the version

    # --- declaration ------------------------------------------------------------------------------

    def study(self) -> dict[str, Any]:
        """study.json: schema, name, experiment, title, question, fingerprint, declaration,
        launches.
        """
        path = self.folder / "study.json"
        if not path.exists():
            raise StudyError(
                f"{self.folder}: no study here (study.json is missing). Give the folder of a study,"
                " such as outputs/digits."
            )
        try:
            study = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise StudyError(f"{path}: damaged, not readable as JSON ({error}). {MEND}") from error
        wrong = wrong_study(study)
        if wrong:
            raise StudyError(f"{path}: {wrong}")
        return {"fingerprint": {}, "launches": [], **study}

    def study_damage(self) -> str | None:
        """Why study.json cannot be relied on; None if it can.

        One that somebody has edited is told as well.
        """
        try:
            study = self.study()
        except StudyError as error:
            return str(error)
        if "digest" not in study or holds((self.folder / "study.json").read_bytes(), study):
            return None
        return (
            "its content does not have the digest that was written with it: damaged, or edited by"
            " hand"
        )

    def check_mine(self, fingerprint: Mapping[str, Any]) -> None:
        """Refuse a folder that cannot be written, is no study, or holds one that is not
        comparable.
        """
        nearest = next(
            parent for parent in (self.folder, *self.folder.absolute().parents) if parent.exists()
        )
        if not nearest.is_dir() or not writable(nearest):
            raise StudyError(
                f"{self.folder}: cannot write here ({nearest} is not a folder this user may write"
                " to). Choose another place with store.folder=… or name=…"
            )
        before = (
            "search",
            "wandb",
            "leases",
            "jobs",
        )  # these come before their study, as does the file that another launch is just writing
        if not self.folder.exists() or all(
            path.name in before or path.name.startswith(".partial-")
            for path in self.folder.iterdir()
        ):
            return
        if not (self.folder / "study.json").exists():
            if any(self.aside.glob("study.json.*")):  # it was damaged; the points name themselves
                return
            raise StudyError(
                f"{self.folder}: holds files but no study.json, so it is not a study's folder."
                " Choose another name=…"
            )
        there = self.study()["fingerprint"]
        differ = [
            f"  {key}: there {there.get(key)!r}, here {value!r}"
            for key, value in fingerprint.items()
            if not _comparable(there.get(key), value)
        ]
        if differ:
            raise StudyError(
                f"{self.folder}: belongs to another study; its points are not comparable with"
                " these:\n" + "\n".join(differ) + "\nGive this study a name of its own: name=…"
            )

    def declare(self, study: Mapping[str, Any], launch: Mapping[str, Any]) -> None:
        """Write study.json: `study` replaces the last declaration, `launch` joins the launches."""
        self.folder.mkdir(parents=True, exist_ok=True)
        before = (
            self.study()
            if (self.folder / "study.json").exists()
            else {"launches": [], "fingerprint": {}}
        )
        launches, fingerprint = before["launches"], dict(study["fingerprint"])
        for key, value in before["fingerprint"].items():
            if isinstance(value, Mapping):  # tasks that joined earlier stay part of the study
                fingerprint[key] = {**value, **fingerprint.get(key, {})}
        data = signed(
            {**study, "schema": SCHEMA, "fingerprint": fingerprint, "launches": [*launches, launch]}
        )
        write_whole(self.folder / "study.json", lambda path: path.write_bytes(data))
        self.points_folder.mkdir(
            exist_ok=True
        )  # only now: a launch that looks in between would take it for somebody's files

    def finish_launch(self, launch: str, **facts: Any) -> None:
        """Add what is only known at the end (seconds, counts) to the launch of this id."""
        study = self.study()
        for one in study["launches"]:
            if one.get("id") == launch:
                one |= facts
        data = signed(study)
        write_whole(self.folder / "study.json", lambda path: path.write_bytes(data))

    # --- writing ----------------------------------------------------------------------------------

    def write(self, record: PointRecord) -> None:
        """Store a point: all its files or none. A point already there is replaced."""
        self.points_folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".partial-{record.id}-", dir=self.points_folder))
        try:
            self._fill(partial, record)
            sync(*partial.iterdir(), partial)
            swap_in(partial, self.points_folder / record.id)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def _fill(self, folder: Path, record: PointRecord) -> None:
        folder.chmod(0o755)
        (folder / CONFIG).write_text(record.config, encoding="utf-8")
        (folder / OVERRIDES).write_text(
            "".join(f"{line}\n" for line in record.overrides), encoding="utf-8"
        )
        for name, columns in record.tables.items():
            pq.write_table(
                arrow(columns, TABLES[name]), folder / f"{name}.parquet", compression="zstd"
            )
        if record.weights is not None:
            save_file(
                {name: np.ascontiguousarray(value) for name, value in record.weights.items()},
                folder / WEIGHTS,
            )
        result = {
            "schema": SCHEMA,
            "id": record.id,
            "row": {name: _plain(value) for name, value in record.row.items()},
            "labels": dict(record.labels),
            "provenance": dict(record.provenance),
            "failure": record.failure,
        }
        seal(folder, result)

    def differs(self, record: PointRecord) -> str | None:
        """Name of the first table of training whose stored numbers are not, bit for bit, those of
        this record; None if the same or not stored.
        """
        if self.status(record.id) in (None, "failed"):
            return None
        for name in ("history", "test"):
            there = self.table(name, [record.id])
            here = arrow(record.tables[name], TABLES[name]).to_pandas()
            if len(there) != len(here) or any(
                not _equal(there[column], here[column]) for column in here.columns
            ):
                return name
        return None

    def tidy(self, busy: Collection[str]) -> None:
        """Clear up after processes that were killed while they stored a point, but for points that
        somebody is `busy` with.
        """
        for path in self.points_folder.iterdir() if self.points_folder.is_dir() else ():
            if (old := re.fullmatch(r"\.old-\d+-(.+)", path.name)) and old[1] not in busy:
                if not (
                    self.points_folder / old[1]
                ).exists():  # killed between the two renames: this is the only one there is
                    path.rename(self.points_folder / old[1])
                shutil.rmtree(path, ignore_errors=True)
            elif (partial := re.fullmatch(r"\.partial-(.+)-[^-]+", path.name)) and partial[
                1
            ] not in busy:
                shutil.rmtree(path, ignore_errors=True)

    def write_points_table(self) -> Path:
        """Rebuild points.parquet from the points, but for damaged ones: whoever asks is told."""
        path = self.folder / "points.parquet"
        points = self.survey(whole=False)[0]
        write_whole(path, lambda partial: points.to_parquet(partial, index=False))
        return path

    # --- reading ----------------------------------------------------------------------------------

    def names(self) -> set[str]:
        """Of points, whole or not: folders in points/, and what is in parts."""
        loose = (
            {name for name in os.listdir(self._points) if not name.startswith(".")}
            if self.points_folder.is_dir()
            else set()
        )
        return (
            loose | self._parts(fresh=True).keys()
        )  # in this order: what is compacted in between is seen at least once

    def ids(self) -> list[str]:
        """Ids of the points stored, sorted."""
        compacted = self._parts().keys()
        return sorted(
            name
            for name in self.names() - self.without
            if name in compacted or os.path.exists(f"{self._points}/{name}/{RESULT}")
        )

    def has(self, name: str) -> bool:
        """Whether there is anything of a point, whole or not, or of a part."""
        if name.startswith("parts/"):
            return (self.folder / name).exists()
        return os.path.lexists(f"{self._points}/{name}") or self._compacted(name) is not None

    def point_folder(self, id: str) -> Path:
        """Where a point's files are, unless it is compacted: to be read through this class."""
        return self.points_folder / id

    def result(self, id: str) -> dict[str, Any]:
        """result.json of a point: schema, id, row, labels, provenance, failure, files (their
        digests). Raises Damaged.
        """
        return self._either(
            id, lambda part: self._result_in(part, id), lambda: self._result_loose(id)
        )

    def _result_loose(self, id: str) -> dict[str, Any]:
        path, version = f"{self._points}/{id}/{RESULT}", self.loose(id)
        try:
            result = _result(_bytes(path), id)
        except FileNotFoundError as error:
            raise Damaged(Path(path), "it is missing") from error
        except (OSError, ValueError, RecursionError) as error:
            raise Damaged(Path(path), _why(error)) from error
        self.digests[id] = (version, result.get("files", {}))
        return result

    def _result_in(self, part: Part, id: str) -> dict[str, Any]:
        try:
            return _result(self._text_in(part, id, RESULT).encode(), id)
        except (ValueError, RecursionError) as error:
            raise Damaged(part.path(RESULTS), f"{RESULT} of {id}: {_why(error)}") from error

    def status(self, id: str) -> str | None:
        """One of records.STATUSES; None of a point that is not stored, or whose result.json is
        damaged.
        """
        try:
            part = self._compacted(id)
            if part is None:
                return str(self.result(id)["row"]["status"])
        except Damaged:
            return None
        if part.name not in self._statuses:
            self._statuses[part.name] = self._statuses_in(part)
        return self._statuses[part.name][part.place[id]]

    @staticmethod
    def _statuses_in(part: Part) -> list[str | None]:
        """By place; None of what is damaged."""
        found: list[str | None] = []
        for number, (start, end) in enumerate(itertools.pairwise(part.blocks)):
            try:
                found += part.block(RESULTS, number, ["status"])["status"].to_pylist()
            except Broken:
                found += [None] * (end - start)
        return found

    def whole(self, id: str) -> dict[str, Any]:
        """result.json of a point whose every byte is as it was written: all are read.

        Raises Damaged.
        """
        return self._either(
            id, lambda part: self._whole_in(part, id), lambda: self._whole_loose(id)
        )

    def _whole_loose(self, id: str) -> dict[str, Any]:
        result = self._result_loose(id)
        files = result.get("files", {})
        for name in files:
            self._read(id, name)
        for path in (
            () if files else self.point_folder(id).glob("*.parquet")
        ):  # an older point has no digests
            try:
                pq.read_metadata(path)
            except (OSError, pa.ArrowException) as error:
                raise Damaged(path, error) from error
        return result

    def _whole_in(self, part: Part, id: str) -> dict[str, Any]:
        for name in part.ends:
            path = part.path(name)
            try:
                seen = os.stat(path)
            except OSError as error:
                raise Damaged(path, error.strerror) from error
            key = (part.name, name, seen.st_mtime_ns, seen.st_size)
            if key not in self._checked:
                self._checked[key] = part.damaged(name)
            if why := self._checked[key].get(part.block_of(id)):
                raise Damaged(path, why)
        return self._result_in(part, id)

    def damage(self, id: str) -> str | None:
        """Why a point must not be counted as done; None if nothing is wrong."""
        if id.startswith("parts/"):
            return self.unreadable().get(id)
        try:
            self.whole(id)
        except Damaged as error:
            return error.why
        return None

    def damaged(self, processes: int = 1) -> dict[str, str]:
        """{id: why} of everything that is no whole point, though it lies where points are; an
        unreadable part by its folder, parts/0001.
        """
        return self.survey(processes=processes)[1]

    def survey(
        self, *, whole: bool = True, processes: int = 1
    ) -> tuple[pd.DataFrame, dict[str, str]]:
        """The points' table, without those that are damaged, and why these are.

        `whole`: read and check every byte of every file, else what the table needs.

        Every file is read once. `processes` share it (forks, where there are many points).
        """
        loose = sorted(
            name for name in self.names() - self.without if self._compacted(name) is None
        )
        by_part: dict[str, list[int]] = {}
        for id, part in self._part_of.items():
            if id not in self.without and not os.path.lexists(f"{self._points}/{id}"):
                by_part.setdefault(part.name, []).append(part.place[id])
        jobs: list[tuple[Any, ...]] = [
            (_survey_part, self._read_parts[name], sorted(places), whole)
            for name, places in by_part.items()
        ]
        jobs += [
            (_survey_loose, self.folder, loose[start : start + SHARE], whole)
            for start in range(0, len(loose), SHARE)
        ]
        found = None
        if processes > 1 and len(loose) + sum(map(len, by_part.values())) > 2 * SHARE:
            with (
                contextlib.suppress(
                    BrokenProcessPool
                ),  # one was killed, of memory perhaps: then here
                concurrent.futures.ProcessPoolExecutor(
                    processes, multiprocessing.get_context("fork")
                ) as pool,
            ):
                found = [future.result() for future in [pool.submit(*job) for job in jobs]]
        if found is None:
            found = [job[0](*job[1:]) for job in jobs]
        damaged = {id: why for _, wrong in found for id, why in wrong.items()}
        again = [
            id for id in damaged if not self.has(id) or self.damage(id) is None
        ]  # compacted, replaced or taken away while it was read
        rows = [
            ROWS.empty_table(),
            *(rows for rows, _ in found),
            _rows([self.result(id) for id in again if self.has(id)]),
        ]
        damaged = {id: why for id, why in damaged.items() if id not in again}
        damaged |= {
            name: why for name, why in self.unreadable().items() if name not in self.without
        }
        together = pa.concat_tables(rows)
        return _points(together.take(pc.sort_indices(together["id"]))), dict(
            sorted(damaged.items())
        )

    def set_aside(self, name: str) -> Path:
        """Move a damaged point, a part, or a file of the study's folder (study.json,
        search/search.json), out of the way; where it is now.
        """
        self.aside.mkdir(exist_ok=True)
        part = self._compacted(name)
        there = (
            self.folder / name if name == "study.json" or "/" in name else self.point_folder(name)
        )
        plain = name.replace("/", "-") if name.startswith("parts/") else there.name
        aside = next(
            path
            for number in itertools.count()
            if not (path := self.aside / f"{plain}.{number}").exists()
        )
        return there.rename(aside) if part is None else self._take_out(part, name, aside)

    def _take_out(self, part: Part, id: str, there: Path) -> Path:
        """Mark a point of a part as gone; what can still be read of it is written to `there`, and
        the part keeps its bytes.
        """
        partial = Path(tempfile.mkdtemp(prefix=f".partial-{id}-", dir=self.aside))
        partial.chmod(0o755)
        for name in TEXT_OF:
            with contextlib.suppress(Damaged):
                (partial / name).write_text(self._text_in(part, id, name), encoding="utf-8")
        for name in part.rows:
            with contextlib.suppress(Damaged):
                if (table := self._table_in(part, id, name)) is not None:
                    pq.write_table(
                        table.drop_columns("id"), partial / f"{name}.parquet", compression="zstd"
                    )
        if WEIGHTS_PART in part.ends:
            with contextlib.suppress(Damaged):
                (partial / WEIGHTS).write_bytes(self._weights_in(part, id))
        (partial / "damaged").write_text(
            f"{self.damage(id)} Its other bytes are in parts/{part.name}.\n", encoding="utf-8"
        )
        partial.rename(there)
        (self.parts_folder / f"{part.name}.gone.{id}").touch()
        sync(self.parts_folder)
        return there

    def _read(self, id: str, name: str) -> bytes:
        """One file of a point's folder, checked."""
        path = f"{self._points}/{id}/{name}"
        known = self.digests.get(id)
        if known is None or known[0] != self.loose(id):
            self._result_loose(id)
            known = self.digests[id]
        try:
            data = _bytes(path)
        except OSError as error:
            raise Damaged(Path(path), error.strerror) from error
        if known[1] and digest(data) != known[1].get(name):
            raise Damaged(
                Path(path), "its content does not have the digest that was written with it"
            )
        return data

    def version(self, id: str) -> tuple[int, int] | None:
        """Tells one writing of a point from another; None while it is not stored.

        Compacted, it is the same writing.
        """
        version = self.loose(id)
        if version is None and (part := self._compacted(id)) is not None:
            return part.versions[part.place[id]]
        return version

    def loose(self, id: str) -> tuple[int, int] | None:
        """The version of a point that has a folder of its own."""
        try:
            status = os.stat(f"{self._points}/{id}/{RESULT}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_ino, status.st_mtime_ns

    @staticmethod
    def known(row: Mapping[str, Any]) -> dict[str, Any]:
        """A row of result.json with its non-finite numbers as numbers again."""
        return {
            name: value if KINDS.get(name) == "str" else _known(value)
            for name, value in row.items()
        }

    def points(self, processes: int = 1) -> pd.DataFrame:
        """One row a stored point: the columns of records.POINTS, then one per further factor.

        Raises Damaged.
        """
        points, damaged = self.survey(whole=False, processes=processes)
        for id, why in damaged.items():
            if id.startswith("parts/"):
                raise StudyError(f"{self.folder / id}: {why} {MEND}")
            if self.version(id) is not None:
                self.result(id)  # raises
        return points

    def table(self, name: str, ids: Iterable[str]) -> pd.DataFrame:
        """The rows of one of records.TABLES for these points, with the id as first column; points
        without it add none.
        """
        asked, found = list(ids), {}
        for id in self.ordered(asked):
            found[id] = self._either(
                id,
                functools.partial(self._table_in, id=id, name=name),
                functools.partial(self._table_loose, id, name),
            )
        parts = [table for id in asked if (table := found[id]) is not None]
        names = ["id", *(column.name for column in TABLES[name])]
        if not parts:
            return pd.DataFrame(columns=names)
        # One conversion for all points: a thousand small frames take three times as long.
        return (
            pa.concat_tables(parts, promote_options="permissive").to_pandas().reindex(columns=names)
        )

    def _table_loose(self, id: str, name: str) -> pa.Table | None:
        path = f"{self._points}/{id}/{name}.parquet"
        if not os.path.exists(path):
            return None
        try:
            part = _table(self._read(id, f"{name}.parquet"))
        except (OSError, pa.ArrowException) as error:
            raise Damaged(Path(path), error) from error
        return part.add_column(0, "id", pa.array([id] * len(part), pa.string()))

    def _table_in(self, part: Part, id: str, name: str) -> pa.Table | None:
        return part.table(name, id, self._block(part, name, id)) if name in part.rows else None

    def ordered(self, ids: Iterable[str]) -> list[str]:
        """These ids in the order in which they are read fastest."""
        parts = self._parts()
        return sorted(
            ids,
            key=lambda id: (
                (part.name, part.place[id], id) if (part := parts.get(id)) else ("", 0, id)
            ),
        )

    # --- points in parts --------------------------------------------------------------------------

    def _parts(self, fresh: bool = False) -> dict[str, Part]:
        """The part that counts of every compacted id.

        `fresh`: look again, though parts/ has not been changed as far as its time tells.
        """
        try:
            changed = os.stat(self.parts_folder).st_mtime_ns
            if changed == self._listed[0] and not fresh:
                return self._part_of
            listed = (changed, tuple(sorted(os.listdir(self.parts_folder))))
        except (FileNotFoundError, NotADirectoryError):
            listed = (0, ())
        if listed[1] != self._listed[1]:
            self._take_in(listed[1])
        self._listed = listed
        return self._part_of

    def _take_in(self, listed: Sequence[str]) -> None:
        there = sorted((name for name in listed if NAME.fullmatch(name)), key=int)
        self._read_parts = {name: part for name, part in self._read_parts.items() if name in there}
        self._broken = {}
        for name in there:
            if name not in self._read_parts:
                try:
                    self._read_parts[name] = Part.read(self.parts_folder / name)
                except Broken as error:
                    self._broken[name] = f"{error}."
        gone = {(found[1], found[2]) for name in listed if (found := GONE.fullmatch(name))}
        self._part_of = {
            id: part
            for name in there
            if (part := self._read_parts.get(name))
            for id in part.ids
            if (name, id) not in gone
        }

    def unreadable(self) -> dict[str, str]:
        """{its folder, parts/0001: why} of every part whose index is damaged."""
        self._parts(fresh=True)
        return {f"parts/{name}": why for name, why in self._broken.items()}

    def parts(self) -> list[Part]:
        """All that can be read, oldest first."""
        self._parts(fresh=True)
        return list(self._read_parts.values())

    def live(self, part: Part) -> list[str]:
        """Ids of a part that no later part and no folder has."""
        parts = self._parts(fresh=True)
        return [
            id
            for id in part.ids
            if parts.get(id) is part and not os.path.lexists(f"{self._points}/{id}")
        ]

    def gone(self, part: Part) -> bool:
        """Whether a point of it was set aside: it keeps the bytes."""
        return any(
            (found := GONE.fullmatch(name)) and found[1] == part.name for name in self._listed[1]
        )

    def _compacted(self, id: str) -> Part | None:
        """The part that holds a point, where no folder does."""
        if os.path.lexists(f"{self._points}/{id}"):
            return None
        return self._parts().get(id) or self._parts(fresh=True).get(id)

    def _either(self, id: str, compacted: Callable[[Part], T], loose: Callable[[], T]) -> T:
        """Read a point where it is, and once more where it was compacted meanwhile."""
        part = self._compacted(id)
        try:
            found = loose() if part is None else compacted(part)
        except Damaged:
            again = self._compacted(id)
            if again is part:
                raise
            return loose() if again is None else compacted(again)
        if found is None and part is None and (again := self._compacted(id)) is not None:
            return compacted(again)
        return found

    def _block(
        self, part: Part, name: str, id: str, columns: Sequence[str] | None = None
    ) -> pa.Table:
        number = part.block_of(id)
        key = (part.name, name, number, columns and tuple(columns))
        if key not in self._blocks:
            try:
                self._blocks[key] = part.block(name, number, columns, coded=name in TABLES)
            except Broken as error:
                raise Damaged(part.path(name), error) from error
            if len(self._blocks) > KEPT:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return self._blocks[key]

    def _text_in(self, part: Part, id: str, name: str) -> str:
        """A text file of a compacted point."""
        texts = self._block(part, RESULTS, id, [TEXT_OF[name]])
        at = part.place[id] - part.blocks[part.block_of(id)]
        return str(texts[TEXT_OF[name]][at].as_py())

    def _weights_in(self, part: Part, id: str) -> bytes:
        block = self._block(part, WEIGHTS_PART, id)
        found: bytes = block[WEIGHTS_PART][part.place[id] - part.blocks[part.block_of(id)]].as_py()
        return found

    def content(self, id: str) -> Content | None:
        """Everything of a point, checked, as a part keeps it; None of one that holds more than a
        part can, or has no digests. Raises Damaged.
        """
        part, version = self._compacted(id), self.version(id)
        if part is not None:
            texts = {of: self._text_in(part, id, name) for name, of in TEXT_OF.items()}
            tables = {
                name: table.drop_columns("id")
                for name in part.rows
                if (table := self._table_in(part, id, name)) is not None
            }
            weights = self._weights_in(part, id) if WEIGHTS_PART in part.ends else None
            size = (
                sum(map(len, texts.values()))
                + sum(table.nbytes for table in tables.values())
                + len(weights or b"")
            )
            assert version is not None
            return Content(
                id, version, _rows([self._whole_in(part, id)]), texts, tables, weights, size
            )
        result = self._result_loose(id)
        files = result.get("files", {})
        known = (
            {CONFIG, OVERRIDES}
            <= set(files)
            <= {CONFIG, OVERRIDES, WEIGHTS, *(f"{name}.parquet" for name in TABLES)}
        )
        if (
            not known
            or set(os.listdir(f"{self._points}/{id}")) != {RESULT, *files}
            or version is None
        ):
            return None
        data = {name: self._read(id, name) for name in files} | {
            RESULT: _bytes(f"{self._points}/{id}/{RESULT}")
        }
        try:
            tables = {
                name: _table(data[f"{name}.parquet"]).replace_schema_metadata(None)
                for name in TABLES
                if f"{name}.parquet" in data
            }
            texts = {of: data[name].decode() for name, of in TEXT_OF.items()}
        except (pa.ArrowException, UnicodeDecodeError):
            return None
        if self.loose(id) != version or any(
            "id" in table.column_names for table in tables.values()
        ):
            return None
        return Content(
            id,
            version,
            _rows([result]),
            texts,
            tables,
            data.get(WEIGHTS),
            sum(map(len, data.values())),
        )

    def config(self, id: str) -> dict[str, Any]:
        """The composed configuration of a point, as plain values; by libyaml where it is there.

        Raises Damaged.
        """
        path = self.point_folder(id) / CONFIG
        text = self._either(
            id,
            lambda part: self._text_in(part, id, CONFIG).encode(),
            lambda: self._read(id, CONFIG),
        )
        try:
            config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise Damaged(path, f"{type(error).__name__}: {error}") from error
        if not isinstance(config, dict):
            raise Damaged(path, "it is no mapping")
        return config

    def has_weights(self, id: str) -> bool:
        part = self._compacted(id)
        return (
            WEIGHTS_PART in part.ends
            if part is not None
            else (self.point_folder(id) / WEIGHTS).exists()
        )

    def weights(self, id: str) -> dict[str, np.ndarray]:
        """The scored weights of a point, by tensor name."""
        try:
            return load(
                self._either(
                    id, lambda part: self._weights_in(part, id), lambda: self._read(id, WEIGHTS)
                )
            )
        except SafetensorError as error:
            raise Damaged(self.point_folder(id) / WEIGHTS, error) from error


def _bytes(path: str) -> bytes:
    """A small file, by as few calls as there can be."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = [os.read(descriptor, 2**17)]
        while pieces[-1]:
            pieces.append(os.read(descriptor, 2**20))
    finally:
        os.close(descriptor)
    return pieces[0] if len(pieces) <= 2 else b"".join(pieces)


def _table(data: bytes) -> pa.Table:
    """A small Parquet file; threads and reading ahead would cost more than they save."""
    return pq.ParquetFile(pa.BufferReader(data), pre_buffer=False).read(use_threads=False)


def _result(data: bytes, id: str) -> dict[str, Any]:
    """The content of a result.json. Raises ValueError, RecursionError."""
    result: dict[str, Any] = json.loads(data)
    if wrong := wrong_result(result, data, id):
        raise _Wrong(wrong)
    return result


class _Wrong(ValueError):
    """What is told of it is enough."""


def _why(error: BaseException) -> str:
    return str(error) if isinstance(error, _Wrong) else f"{type(error).__name__}: {error}"


# --- many points at once; each of these may run in a process of its own ---------------------------


def _survey_loose(
    folder: Path, names: Sequence[str], whole: bool
) -> tuple[pa.Table, dict[str, str]]:
    """Rows of points in folders of their own, and what is wrong with the others."""
    store, results = Store(folder), []
    wrong: dict[str, str] = {}
    for name in names:
        try:
            results.append(store._whole_loose(name) if whole else store._result_loose(name))
        except Damaged as error:
            wrong[name] = error.why
    return _rows(results), wrong


def _survey_part(part: Part, places: Sequence[int], whole: bool) -> tuple[pa.Table, dict[str, str]]:
    """Rows of the points at these places of a part, and what is wrong with the others."""
    bad: dict[int, str] = {}
    for name in part.ends if whole else ():
        bad = {
            number: f"parts/{part.name}/{part.path(name).name}: damaged ({why})."
            for number, why in part.damaged(name).items()
        } | bad
    wanted = sorted({part.block_of(part.ids[place]) for place in places} - bad.keys())
    try:
        blocks = [part.block(RESULTS, wanted, ROWS.names)] if wanted else []
        if blocks and (told := wrong_rows(blocks[0], WORDS)):
            raise Broken(told)
    except Broken:  # one of them
        blocks, asked, wanted = [], wanted, []
        for number in asked:
            try:
                block = part.block(RESULTS, number, ROWS.names)
                if told := wrong_rows(block, WORDS):
                    raise Broken(told)
            except Broken as error:
                bad[number] = f"parts/{part.name}/{part.path(RESULTS).name}: damaged ({error})."
                continue
            blocks.append(block)
            wanted.append(number)
    wrong = {
        part.ids[place]: why for place in places if (why := bad.get(part.block_of(part.ids[place])))
    }
    whole_part = len(places) == len(part.ids)
    there = set() if whole_part else {part.ids[place] for place in places}
    rows = [
        ROWS.empty_table(),
        *(
            (
                block
                if whole_part
                else block.filter(pc.is_in(block["id"], pa.array(sorted(there), pa.string())))
            )
            for block in blocks
        ),
    ]
    return pa.concat_tables(rows, promote_options="default"), wrong


def _rows(results: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The table of ROWS, a row a result.json."""
    rows = [result["row"] for result in results]
    columns = {}
    for column in POINTS:
        values = [row.get(column.name) for row in rows]
        if column.kind in ("int", "float"):  # a whole number may be written either way
            values = [
                None if value is None else NUMBER[column.kind](value)
                for value in map(_known, values)
            ]
        columns[column.name] = pa.array(values, ARROW[column.kind])
    columns["labels"] = pa.array(
        [
            json.dumps(
                {key: value for key, value in result["labels"].items() if key not in columns}
            )
            for result in results
        ],
        pa.string(),
    )
    return pa.table(columns, ROWS)


def seal(folder: Path, result: Mapping[str, Any]) -> None:
    """Write result.json with the digests of the files beside it: only then they are a point."""
    files = {
        path.name: digest(path.read_bytes())
        for path in sorted(folder.iterdir())
        if path.name != RESULT
    }
    (folder / RESULT).write_bytes(signed({**result, "schema": SCHEMA, "files": files}))


def _points(rows: pa.Table) -> pd.DataFrame:
    """Rows of ROWS as a frame: the columns of records.POINTS, then one per further factor."""
    columns = {column.name: _column(rows[column.name], PANDAS[column.kind]) for column in POINTS}
    texts = rows["labels"].to_pylist()
    labels = {text: json.loads(text) for text in dict.fromkeys(texts)}
    for key in dict.fromkeys(key for told in labels.values() for key in told):
        columns[key] = pd.array([labels[text].get(key) for text in texts])
    return pd.DataFrame(columns)


def _column(values: pa.ChunkedArray, kind: str) -> Any:
    return (
        np.array(values.to_numpy())
        if kind == "float64"
        else pd.api.types.pandas_dtype(kind).__from_arrow__(values)
    )


def _equal(one: pd.Series, other: pd.Series) -> bool:
    return bool(
        np.array_equal(
            one.to_numpy(dtype=float, na_value=np.nan),
            other.to_numpy(dtype=float, na_value=np.nan),
            equal_nan=True,
        )
    )


def _comparable(there: Any, here: Any) -> bool:
    """Equal, or, for what is listed by name, equal wherever both have the name: a task may join a
    study.
    """
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        return all(there[name] == here[name] for name in there.keys() & here.keys())
    return bool(there == here)


def _plain(value: Any) -> Any:
    """JSON has no NaN or Inf: a non-finite number is written as text and read back as one."""
    if isinstance(value, np.generic):
        value = value.item()
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def _known(value: Any) -> Any:
    return float(value) if value in ("nan", "inf", "-inf") else value
