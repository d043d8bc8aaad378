"""A study on disk: every point a directory, whole or not at all. Reading needs no torch.

outputs/NAME/study.json        the last declaration, fingerprint, every launch
outputs/NAME/points/ID/        config.yaml, overrides, result.json, weights.safetensors and the tables of records.TABLES
outputs/NAME/points.parquet    one row a point, rebuilt from points/, never the source
outputs/NAME/set-aside/        what was damaged, kept to be looked at

result.json holds the digests of a point's files and its own: what is cut or has a flipped bit is damaged, and no result.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml  # comes with hydra's omegaconf
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from study.digests import digest, holds, signed
from study.records import OUTCOMES, POINTS, SCHEMA, SEARCH_TABLES, STATES, STATUSES, TABLES, VERDICTS, Column, StudyError

PANDAS = {"str": "string", "int": "Int64", "float": "float64", "bool": "boolean"}
RESULT, CONFIG, WEIGHTS = "result.json", "config.yaml", "weights.safetensors"
MEND = "python -m reports status DIR --repair sets it aside, and the same study trains it again"
SEARCH_AGAIN = "Remove it and run the search again: its trials are kept elsewhere."
ARROW = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}


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
    """A point could not be written: a full disk, a folder that is read-only now. No point's fault."""


class Damaged(StudyError):
    """A file of a point that is not what was written; `why` leaves out where it is and what can be done."""

    def __init__(self, path: Path, why: object) -> None:
        self.why = f"{path.name}: damaged ({why})."
        super().__init__(f"{path}: damaged ({why}). {MEND}")


class Store:
    """The folder of one study."""

    def __init__(self, folder: Path | str, without: Collection[str] = ()) -> None:
        """`without`: ids that are looked past, as damaged ones are by whoever names them apart."""
        self.folder, self.without = Path(folder), frozenset(without)
        self.points_folder, self.aside = self.folder / "points", self.folder / "set-aside"
        self.digests: dict[str, tuple[tuple[int, int] | None, Mapping[str, str]]] = {}  # of the files of points that were read, with the version

    # --- declaration -----------------------------------------------------------------------------------------

    def study(self) -> dict[str, Any]:
        """study.json: schema, name, experiment, title, question, fingerprint, declaration, launches."""
        path = self.folder / "study.json"
        if not path.exists():
            raise StudyError(f"{self.folder}: no study here (study.json is missing). Give the folder of a study, such as outputs/digits.")
        try:
            study = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise StudyError(f"{path}: damaged, not readable as JSON ({error}). {MEND}") from error
        wrong = _wrong_study(study)
        if wrong:
            raise StudyError(f"{path}: {wrong}")
        return {"fingerprint": {}, "launches": [], **study}

    def study_damage(self) -> str | None:
        """Why study.json cannot be relied on; None if it can. One that somebody has edited is told as well."""
        try:
            study = self.study()
        except StudyError as error:
            return str(error)
        if "digest" not in study or holds((self.folder / "study.json").read_bytes(), study):
            return None
        return "its content does not have the digest that was written with it: damaged, or edited by hand"

    def check_mine(self, fingerprint: Mapping[str, Any]) -> None:
        """Refuse a folder that cannot be written, is no study, or holds one that is not comparable."""
        nearest = next(parent for parent in (self.folder, *self.folder.absolute().parents) if parent.exists())
        if not nearest.is_dir() or not _writable(nearest):
            raise StudyError(
                f"{self.folder}: cannot write here ({nearest} is not a folder this user may write to). Choose another place with store.folder=… or name=…"
            )
        before = ("search", "wandb", "leases", "jobs")  # these come before their study, as does the file that another launch is just writing
        if not self.folder.exists() or all(path.name in before or path.name.startswith(".partial-") for path in self.folder.iterdir()):
            return
        if not (self.folder / "study.json").exists():
            if any(self.aside.glob("study.json.*")):  # it was damaged; the points name themselves
                return
            raise StudyError(f"{self.folder}: holds files but no study.json, so it is not a study's folder. Choose another name=…")
        there = self.study()["fingerprint"]
        differ = [f"  {key}: there {there.get(key)!r}, here {value!r}" for key, value in fingerprint.items() if not _comparable(there.get(key), value)]
        if differ:
            raise StudyError(
                f"{self.folder}: belongs to another study; its points are not comparable with these:\n"
                + "\n".join(differ)
                + "\nGive this study a name of its own: name=…"
            )

    def declare(self, study: Mapping[str, Any], launch: Mapping[str, Any]) -> None:
        """Write study.json: `study` replaces the last declaration, `launch` joins the launches."""
        self.folder.mkdir(parents=True, exist_ok=True)
        before = self.study() if (self.folder / "study.json").exists() else {"launches": [], "fingerprint": {}}
        launches, fingerprint = before["launches"], dict(study["fingerprint"])
        for key, value in before["fingerprint"].items():
            if isinstance(value, Mapping):  # tasks that joined earlier stay part of the study
                fingerprint[key] = {**value, **fingerprint.get(key, {})}
        data = signed({**study, "schema": SCHEMA, "fingerprint": fingerprint, "launches": [*launches, launch]})
        write_whole(self.folder / "study.json", lambda path: path.write_bytes(data))
        self.points_folder.mkdir(exist_ok=True)  # only now: a launch that looks in between would take it for somebody's files

    def finish_launch(self, launch: str, **facts: Any) -> None:
        """Add what is only known at the end (seconds, counts) to the launch of this id."""
        study = self.study()
        for one in study["launches"]:
            if one.get("id") == launch:
                one |= facts
        data = signed(study)
        write_whole(self.folder / "study.json", lambda path: path.write_bytes(data))

    # --- writing ---------------------------------------------------------------------------------------------

    def write(self, record: PointRecord) -> None:
        """Store a point: all its files or none. A point already there is replaced."""
        self.points_folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".partial-{record.id}-", dir=self.points_folder))
        try:
            self._fill(partial, record)
            _sync(*partial.iterdir(), partial)
            _swap_in(partial, self.points_folder / record.id)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def _fill(self, folder: Path, record: PointRecord) -> None:
        folder.chmod(0o755)
        (folder / CONFIG).write_text(record.config, encoding="utf-8")
        (folder / "overrides").write_text("".join(f"{line}\n" for line in record.overrides), encoding="utf-8")
        for name, columns in record.tables.items():
            pq.write_table(_arrow(columns, TABLES[name]), folder / f"{name}.parquet", compression="zstd")
        if record.weights is not None:
            save_file({name: np.ascontiguousarray(value) for name, value in record.weights.items()}, folder / WEIGHTS)
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
        """Name of the first table of training whose stored numbers are not, bit for bit, those of this record; None if the same or not stored."""
        if self.status(record.id) in (None, "failed"):
            return None
        for name in ("history", "test"):
            there = self.table(name, [record.id])
            here = _arrow(record.tables[name], TABLES[name]).to_pandas()
            if len(there) != len(here) or any(not _equal(there[column], here[column]) for column in here.columns):
                return name
        return None

    def tidy(self, busy: Collection[str]) -> None:
        """Clear up after processes that were killed while they stored a point, but for points that somebody is `busy` with."""
        for path in self.points_folder.iterdir() if self.points_folder.is_dir() else ():
            if (old := re.fullmatch(r"\.old-\d+-(.+)", path.name)) and old[1] not in busy:
                if not (self.points_folder / old[1]).exists():  # killed between the two renames: this is the only one there is
                    path.rename(self.points_folder / old[1])
                shutil.rmtree(path, ignore_errors=True)
            elif (partial := re.fullmatch(r"\.partial-(.+)-[^-]+", path.name)) and partial[1] not in busy:
                shutil.rmtree(path, ignore_errors=True)

    def write_points_table(self) -> Path:
        """Rebuild points.parquet from the points."""
        path = self.folder / "points.parquet"
        results = []
        for id in self.ids():
            with contextlib.suppress(Damaged):  # meanwhile: whoever asks is told
                results.append(self.result(id))
        write_whole(path, lambda partial: _points(results).to_parquet(partial, index=False))
        return path

    # --- reading ---------------------------------------------------------------------------------------------

    def folders(self) -> set[str]:
        """Names in points/, whole points or not."""
        return {path.name for path in self.points_folder.iterdir() if not path.name.startswith(".")} if self.points_folder.is_dir() else set()

    def ids(self) -> list[str]:
        """Ids of the points stored, sorted."""
        return sorted(name for name in self.folders() - self.without if (self.point_folder(name) / RESULT).exists())

    def point_folder(self, id: str) -> Path:
        return self.points_folder / id

    def result(self, id: str) -> dict[str, Any]:
        """result.json of a point: schema, id, row, labels, provenance, failure, files (their digests). Raises Damaged."""
        path, version = self.point_folder(id) / RESULT, self.version(id)
        try:
            data = path.read_bytes()
            result: dict[str, Any] = json.loads(data)
            wrong = _wrong_result(result, data, id)
        except FileNotFoundError:
            wrong = "it is missing"
        except (OSError, ValueError, RecursionError) as error:
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            raise Damaged(path, wrong)
        self.digests[id] = (version, result.get("files", {}))
        return result

    def status(self, id: str) -> str | None:
        """One of records.STATUSES; None of a point that is not stored, or whose result.json is damaged."""
        try:
            return str(self.result(id)["row"]["status"])
        except Damaged:
            return None

    def whole(self, id: str) -> dict[str, Any]:
        """result.json of a point whose every byte is as it was written: all are read. Raises Damaged."""
        result = self.result(id)
        files = result.get("files", {})
        for name in files:
            self._read(id, name)
        for path in () if files else self.point_folder(id).glob("*.parquet"):  # an older point has no digests
            try:
                pq.read_metadata(path)
            except (OSError, pa.ArrowException) as error:
                raise Damaged(path, error) from error
        return result

    def damage(self, id: str) -> str | None:
        """Why a point must not be counted as done; None if nothing is wrong."""
        try:
            self.whole(id)
        except Damaged as error:
            return error.why
        return None

    def damaged(self) -> dict[str, str]:
        """{id: why} of every point folder that holds no whole point."""
        return {name: why for name in sorted(self.folders()) if (why := self.damage(name)) is not None}

    def set_aside(self, name: str) -> Path:
        """Move a damaged point, or a file of the study's folder (study.json, search/search.json), out of the way; where it is now."""
        self.aside.mkdir(exist_ok=True)
        there = self.folder / name if name == "study.json" or "/" in name else self.point_folder(name)
        number = next(number for number in itertools.count() if not (self.aside / f"{there.name}.{number}").exists())
        return there.rename(self.aside / f"{there.name}.{number}")

    def _read(self, id: str, name: str) -> bytes:
        """One file of a point, checked."""
        path = self.point_folder(id) / name
        known = self.digests.get(id)
        if known is None or known[0] != self.version(id):
            self.result(id)
            known = self.digests[id]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise Damaged(path, error.strerror) from error
        if known[1] and digest(data) != known[1].get(name):
            raise Damaged(path, "its content does not have the digest that was written with it")
        return data

    def version(self, id: str) -> tuple[int, int] | None:
        """Tells one writing of a point from another; None while it is not stored."""
        try:
            status = (self.point_folder(id) / RESULT).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_ino, status.st_mtime_ns

    @staticmethod
    def known(row: Mapping[str, Any]) -> dict[str, Any]:
        """A row of result.json with its non-finite numbers as numbers again."""
        return {name: _known(value) for name, value in row.items()}

    def points(self) -> pd.DataFrame:
        """One row a stored point: the columns of records.POINTS, then one per further factor."""
        return _points([self.result(id) for id in self.ids()])

    def table(self, name: str, ids: Iterable[str]) -> pd.DataFrame:
        """The rows of one of records.TABLES for these points, with the id as first column; points without it add none."""
        parts = []
        for id in ids:
            path = self.point_folder(id) / f"{name}.parquet"
            if path.exists():
                try:
                    part = pq.read_table(pa.BufferReader(self._read(id, path.name)))
                except (OSError, pa.ArrowException) as error:
                    raise Damaged(path, error) from error
                parts.append(part.add_column(0, "id", pa.array([id] * len(part), pa.string())))
        names = ["id", *(column.name for column in TABLES[name])]
        if not parts:
            return pd.DataFrame(columns=names)
        # One conversion for all points: a thousand small frames take three times as long.
        return pa.concat_tables(parts, promote_options="permissive").to_pandas().reindex(columns=names)

    # --- a search's tables (search/ in a study's folder) -------------------------------------------------------

    def write_search(self, summary: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> None:
        """search.json, with digests, and the tables of records.SEARCH_TABLES, each whole or not at all. This store is the folder search/."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, columns in tables.items():
            table = _arrow(columns, SEARCH_TABLES[name])
            write_whole(self.folder / f"{name}.parquet", functools.partial(pq.write_table, table, compression="zstd"))
        files = {path.name: digest(path.read_bytes()) for name in SEARCH_TABLES if (path := self.folder / f"{name}.parquet").exists()}
        data = signed({"schema": SCHEMA, **summary, "files": files})
        write_whole(self.folder / "search.json", lambda path: path.write_bytes(data))

    def search(self) -> dict[str, Any] | None:
        """search.json: space, budget, and what was found for every arm; None where there is no search."""
        path = self.folder / "search.json"
        if not path.exists():
            return None
        try:
            data = path.read_bytes()
            found: dict[str, Any] = json.loads(data)
            whole = "digest" not in found or holds(data, found)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise StudyError(f"{path}: damaged ({error}). {SEARCH_AGAIN}") from error
        if not whole:
            raise StudyError(f"{path}: damaged (its content does not have the digest that was written with it). {SEARCH_AGAIN}")
        return found

    def search_table(self, name: str) -> pd.DataFrame:
        """One of records.SEARCH_TABLES."""
        names = [column.name for column in SEARCH_TABLES[name]]
        path = self.folder / f"{name}.parquet"
        try:
            return pq.read_table(path).to_pandas().reindex(columns=names) if path.exists() else pd.DataFrame(columns=names)
        except (OSError, pa.ArrowException) as error:
            raise StudyError(f"{path}: damaged ({error}). {SEARCH_AGAIN}") from error

    def damaged_search(self) -> dict[str, str]:
        """{file, from the study's folder on: why} of what a search has written and is not so any more. Its trials lie in its storage, which Optuna reads."""
        search, found = Store(self.folder / "search"), {}
        try:
            files = (search.search() or {}).get("files", {})
        except StudyError as error:
            files, found["search/search.json"] = {}, str(error).removeprefix(f"{search.folder}/search.json: ")
        for name in (f"{name}.parquet" for name in SEARCH_TABLES):
            path = search.folder / name
            if name in files and (not path.exists() or digest(path.read_bytes()) != files[name]):
                found[f"search/{name}"] = f"damaged (it is {'not what was written' if path.exists() else 'missing'}). {SEARCH_AGAIN}"
        return found

    def config(self, id: str) -> dict[str, Any]:
        """The composed configuration of a point, as plain values; by libyaml where it is there. Raises Damaged."""
        path = self.point_folder(id) / CONFIG
        try:
            config = yaml.load(self._read(id, CONFIG), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise Damaged(path, f"{type(error).__name__}: {error}") from error
        if not isinstance(config, dict):
            raise Damaged(path, "it is no mapping")
        return config

    def weights(self, id: str) -> dict[str, np.ndarray]:
        """The scored weights of a point, by tensor name."""
        try:
            return load(self._read(id, WEIGHTS))
        except SafetensorError as error:
            raise Damaged(self.point_folder(id) / WEIGHTS, error) from error


def seal(folder: Path, result: Mapping[str, Any]) -> None:
    """Write result.json with the digests of the files beside it: only then they are a point."""
    files = {path.name: digest(path.read_bytes()) for path in sorted(folder.iterdir()) if path.name != RESULT}
    (folder / RESULT).write_bytes(signed({**result, "schema": SCHEMA, "files": files}))


def _wrong_result(result: Any, data: bytes, id: str) -> str | None:
    """What is wrong with the content of a result.json."""
    if not isinstance(result, dict):
        return "it is no object"
    schema = result.get("schema")
    if not isinstance(schema, int) or schema < 1:
        return f"schema {schema!r}"
    if schema > SCHEMA:
        return f"schema {schema} is newer than this program reads ({SCHEMA})"
    if (schema > 1 or "digest" in result) and not holds(data, result):
        return "its content does not have the digest that was written with it"
    if not all(isinstance(result.get(key), dict) for key in ("row", "labels", "provenance")) or not isinstance(result.get("files", {}), dict):
        return "it has no row, labels or provenance"
    if not all(isinstance(told, str) and Path(name).name == name for name, told in result.get("files", {}).items()):
        return "it names files that lie elsewhere"
    if result.get("id") != id:
        return f"it is of point {result.get('id')!r}"
    if not all(_scalar(value) for value in result["labels"].values()):
        return "a label is no text, number or truth"
    for column in POINTS:
        value = result["row"].get(column.name)
        if value is not None and not (_of_kind(value, column.kind) and value in WORDS.get(column.name, (value,))):
            return f"{column.name} {str(value)[:40]!r}"
    return "it has no status" if result["row"].get("status") is None else None


WORDS = {"status": STATUSES, "verdict": VERDICTS, "outcome": OUTCOMES, "state": STATES, "state_init": STATES}  # what a row may say


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | float | bool) or (isinstance(value, int) and abs(value) < 2**63)


def _of_kind(value: Any, kind: str) -> bool:
    """Whether a value of result.json fits a column's kind."""
    if kind in ("str", "bool"):
        return isinstance(value, str if kind == "str" else bool)
    if kind == "float" and value in ("nan", "inf", "-inf"):
        return True
    if not isinstance(value, int | float) or isinstance(value, bool) or not _scalar(value):
        return False
    return kind == "float" or isinstance(value, int) or (abs(value) < 2**53 and value == value // 1)


def _wrong_study(study: Any) -> str | None:
    """What is wrong with the content of a study.json."""
    if not isinstance(study, dict):
        return f"damaged, it is no object. {MEND}"
    schema = study.get("schema", 0)
    if not isinstance(schema, int) or schema > SCHEMA:
        return f"schema {schema!r} is newer than this program reads ({SCHEMA})"
    launches = study.get("launches", [])
    if not isinstance(study.get("fingerprint", {}), dict) or not isinstance(launches, list) or not all(isinstance(one, dict) for one in launches):
        return f"damaged, its fingerprint or its launches are of another form. {MEND}"
    return None


def _points(results: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a result: the columns of records.POINTS, then one per further factor."""
    columns = {column.name: pd.array([_known(result["row"].get(column.name)) for result in results], dtype=PANDAS[column.kind]) for column in POINTS}
    frame = pd.DataFrame(columns)
    for key in dict.fromkeys(key for result in results for key in result["labels"] if key not in columns):
        frame[key] = pd.array([result["labels"].get(key) for result in results])
    return frame


def _equal(one: pd.Series, other: pd.Series) -> bool:
    return bool(np.array_equal(one.to_numpy(dtype=float, na_value=np.nan), other.to_numpy(dtype=float, na_value=np.nan), equal_nan=True))


def _comparable(there: Any, here: Any) -> bool:
    """Equal, or, for what is listed by name, equal wherever both have the name: a task may join a study."""
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


def _arrow(columns: Mapping[str, Any], schema: tuple[Column, ...]) -> pa.Table:
    fields = [column for column in schema if column.name in columns]
    return pa.table({column.name: pa.array(columns[column.name], type=ARROW[column.kind], from_pandas=False) for column in fields})


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _sync(*paths: Path) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file whole or not at all: `write` is given the name to write to."""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        write(partial)
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _swap_in(partial: Path, target: Path) -> None:
    old = target.with_name(f".old-{os.getpid()}-{target.name}")
    if target.exists():
        target.rename(old)
    partial.rename(target)
    _sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)
