"""Weights & Biases: one run per point, from its first seconds of training on, online or offline."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from study.interfaces import Point, Tracker, require
from study.records import LOCATED, NOT_IDENTITY, StudyError
from study.store import Store
from study.store.run_addresses import note, note_address
from study.store.wandb_runs import (
    LOGGED,
    check_key,
    disabled,
    entries,
    fast,
    join_agent,
    key_configured,
    leave_agent,
    names,
    package,
    run_id,
    unused,
)
from study.trackers.shared.rows import (
    declared_factors,
    higher_is_better,
    live_rows,
    metrics,
    rows_of,
    run_name,
)

MODES = ("", "online", "offline", "disabled", "dryrun", "run", "shared")  # wandb's own
TAG = 64  # characters of a tag at most, by W&B
ROOM = 2**20  # free bytes required before and after a run is logged
# Runs of points in training at a time: each has a file, a connection and some memory in wandb's
# service. Further points are logged when they are stored.
OPEN = 200


class Wandb(Tracker):
    """The run id consists of study and point id, so that logging again updates a run.

    A point that trains for more than a few seconds has its run meanwhile; its rows have the time of
    their updates. A run is continued after an interruption: online, W&B drops rows whose step it
    has; offline, new files have all of them, and study.sync sends the newest.

    With WANDB_MODE=disabled or WANDB_DISABLED=true nothing is written. mode: auto is online if a
    key is configured (environment, netrc or wandb's settings) and WANDB_MODE does not forbid it,
    else offline; then runs wait in the study's wandb/ folder for `python -m study.sync`. patience:
    seconds a server may take at the start and at the end of a run; then the tracker gives up, and
    the next launch tries again. rows: number of updates in a run's history, evenly spread, in
    addition to validations, probe stages and the last update; null: all updates.

    tags, notes, group (null: the study's name) and job_type (null: point, or trial of a search) are
    those of every run. log_code: a folder whose .py and .yaml files become an artifact of the
    study's run (study.artifacts). system_metrics: wandb's, of the tracker's process while a run is
    open. alert: whether W&B sends an alert for each point that diverges, once.

    wandb/logged.jsonl lists what was logged as [run with its tags, mode, project]; a run's last
    line counts. wandb/addresses.jsonl has where runs are online, for the report. A point logged
    offline is logged again by a later launch that is online, since its files may never have been
    synced.
    """

    off = ""  # what in the environment forbids W&B
    expected = ""  # the id of the run that a `wandb agent` expects, if this launch has one point

    def __init__(
        self,
        *,
        mode: Literal["auto", "online", "offline"],
        project: str,
        entity: str | None,
        patience: float,
        rows: int | None,
        tags: Sequence[str] | str | None,
        notes: str | None,
        group: str | None,
        job_type: str | None,
        system_metrics: bool,
        log_code: str | None,
        alert: bool,
    ) -> None:
        require(patience > 0, "wandb", "patience", "a number of seconds above 0", patience)
        require(
            rows is None or rows >= 2, "wandb", "rows", "at least 2, or null for every update", rows
        )
        environment = os.environ.get("WANDB_MODE", "").lower()
        require(
            environment in MODES,
            "wandb",
            "WANDB_MODE",
            "online, offline or disabled, or not be set",
            environment,
        )
        require(project != "", "wandb", "project", "a name", project)
        require(
            all(len(tag) <= TAG for tag in names(tags)),
            "wandb",
            "tags",
            f"names of at most {TAG} characters",
            tags,
        )
        require(
            log_code is None or Path(log_code).is_dir(), "wandb", "log_code", "a folder", log_code
        )
        self.mode, self.project, self.entity = mode, project, entity or None
        self.patience, self.rows = patience, rows
        self.tags, self.notes, self.group = names(tags), notes or None, group or None
        self.job_type, self.system_metrics = job_type or None, system_metrics
        self.alert = alert
        self.open_runs: dict[str, Any] = {}  # of points in training, by id
        self.step: dict[str, int] = {}  # their last updates
        self.continued: set[str] = set()  # those that W&B had rows of when they were opened
        self.alerted: set[str] = set()
        asked = mode == "online" or (mode == "auto" and environment == "online")
        if asked and not disabled():
            check_key("mode" if mode == "online" else "WANDB_MODE")

    def open(self, study: str, folder: Path) -> None:
        self.off = disabled()
        if self.off:
            print(f"W&B: nothing is written or sent, since {self.off}")
            return
        if ignored := unused():
            print(f"W&B: {ignored}")
        sweep = os.environ.get("WANDB_SWEEP_ID")
        self.expected = join_agent() if newest_planned(folder) == 1 else ""
        if self.expected:
            print(f"W&B: the point is run {self.expected} of sweep {sweep}")
        elif leave_agent():
            print(
                f"W&B: points are runs of their own, with their own ids, not runs of sweep {sweep}"
            )
        wandb = package(", or tracker=[] to do without")
        self.wandb, self.study, self.folder = wandb, study, folder / "wandb"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.where = "/".join(name for name in (self.entity, self.project) if name)
        store = Store(folder)
        self.varied, self.higher = declared_factors(store), higher_is_better(store)
        self.group = self.group or study
        configured = wandb.setup(wandb.Settings(silent=True)).settings
        key = key_configured(configured)
        self.resolved, why = resolve(self.mode, key, configured.mode)
        print(
            f"W&B: {self.resolved} (mode={self.mode}{why}), project {self.project}, group"
            f" {self.group}"
        )
        self.settings = fast(self.resolved, self.patience, x_disable_stats=not self.system_metrics)
        self.logged = self._read_ledger()

    def update(self, point: Point, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.off or self._logged(self._id(point.id)):
            return
        if point.id not in self.open_runs and len(self.open_runs) >= OPEN:
            return
        with self._as_study_error():
            if point.id not in self.open_runs:
                self._check_room()
                labels = {**point.labels, "seed": point.seed}
                run = self._begin(point.id, labels, point.config, tags=(), trial=False)
                self.open_runs[point.id] = run
            run = self.open_runs[point.id]
            times = ({"_timestamp": row["time"]} if "time" in row else {} for row in rows)
            named = live_rows(rows, point.config)
            self._write(run, point.id, (a | b for a, b in zip(named, times, strict=True)), now=True)
            if any(row.get("diverged") for row in rows):
                self._alert(run, point.id, rows[-1]["update"])

    def fail(self, point: str, reason: str) -> None:
        if run := self.open_runs.pop(point, None):
            run.summary.update({"status": "failed", "reason": reason})
            run.finish(exit_code=1)

    def log(self, result: Mapping[str, Any], folder: Path) -> None:
        if self.off:
            return
        id, tags = self._id(result["id"]), list(result.get("tags", ()))
        # With its tags: a trial that becomes the best one, or no longer is, is logged again.
        entry = "+".join([id, *tags])
        if entry in self._logged(id):
            return
        self._check_room()
        with self._as_study_error():
            self._log(result, folder)
        self._check_room()
        self._note(entry)
        if self.expected:  # by its own id too: other launches need not log the point again
            self._note("+".join([run_id(self.study, result["id"]), *tags]))

    def _id(self, point: str) -> str:
        """The id of a point's run: its own, or the one that a `wandb agent` expects."""
        return self.expected or run_id(self.study, point)

    def _logged(self, id: str) -> set[str]:
        """What the ledger has of a run, here or online."""
        found = (self.logged.get((id, mode, self.where)) for mode in (self.resolved, "online"))
        return {entry for entry in found if entry is not None}

    @contextlib.contextmanager
    def _as_study_error(self) -> Iterator[None]:
        try:
            yield
        except (self.wandb.Error, TimeoutError) as error:
            message = " ".join(str(error).split())
            raise StudyError(
                f"{message}. Nothing is lost: run the study again, or use"
                " tracker.wandb.mode=offline and python -m study.sync later"
            ) from error

    def _check_room(self) -> None:
        """Raise StudyError if the disk is full: wandb does not report what it could not write."""
        if shutil.disk_usage(self.folder).free < ROOM:
            raise StudyError(
                f"the disk is full under {self.folder}; nothing is lost, the next launch logs what"
                " is missing"
            )

    def _log(self, result: Mapping[str, Any], folder: Path) -> None:
        id, given = result["id"], list(result.get("tags", ()))
        store = Store(folder.parent.parent)
        row, composed = store.known(result["row"]), store.config(id)
        tags = [*given, *(str(row[key]) for key in ("verdict", "outcome") if row.get(key))]
        run = self.open_runs.pop(id, None)
        if run is None:
            trial = "search" in given
            run = self._begin(id, result["labels"], composed, tags=tags, trial=trial)
        else:
            run.tags = (*tags, *self.tags)
        rows = rows_of(store, id, self.rows, composed)
        # A summary of one's own comes after the last row, which wandb else holds back for more.
        self._write(run, id, rows, now=id in self.continued)
        if id in self.continued:
            run.summary.update(self._best(rows))
        if row.get("status") == "diverged" and not self._logged(self._id(id)):
            self._alert(run, id, row.get("diverged_at"))
        run.summary.update({key: value for key, value in row.items() if value is not None})
        run.summary.update(metrics(store, id))
        run.finish(exit_code=0)

    def _begin(
        self,
        point: str,
        labels: Mapping[str, Any],
        composed: Mapping[str, Any],
        *,
        tags: Sequence[str],
        trial: bool,
    ) -> Any:
        """A point's run, which other runs may be open beside."""
        run = self.wandb.init(
            project=self.project,
            entity=self.entity,
            dir=str(self.folder.parent),
            id=self._id(point),
            name=run_name(labels, self.varied),
            group=self.group,
            job_type=self.job_type or ("trial" if trial else "point"),
            notes=self.notes,
            resume="allow" if self.resolved == "online" else None,
            config={**labels, "point": point, "settings": settings(composed)},
            tags=[*tags, *self.tags],
            reinit="create_new",
            settings=self.settings,
        )
        if self.resolved == "online":
            note_address(self.folder, point, run.url)
        self._define(run)
        self.step[point] = run.starting_step - 1
        if run.starting_step:
            self.continued.add(point)
        return run

    def _write(self, run: Any, point: str, rows: Iterable[Mapping[str, Any]], *, now: bool) -> None:
        """Log rows by update, without those that the run has. now: the last one at once, too."""
        for values in rows:
            if values["update"] > self.step[point]:
                run.log(dict(values), step=values["update"], commit=now or None)
                self.step[point] = values["update"]

    def _alert(self, run: Any, point: str, update: int | None) -> None:
        if self.alert and point not in self.alerted:
            self.alerted.add(point)
            run.alert(
                title=f"{self.study}: a point diverged",
                text=f"Point {point} ({run.name}) diverged"
                + ("" if update is None else f" at update {update}"),
                level=self.wandb.AlertLevel.WARN,
            )

    def _define(self, run: Any) -> None:
        """Charts over updates; in the summary, best and last of losses and scores."""
        run.define_metric("*", step_metric="update", step_sync=False)
        for name, best in self._bests().items():
            summary = f"{best},last"
            run.define_metric(name, step_metric="update", step_sync=False, summary=summary)

    def _bests(self) -> dict[str, str]:
        """Which value of a metric is the best."""
        known = {"train/loss": "min", "val/loss": "min"}
        if self.higher is not None:
            known["val/score"] = "max" if self.higher else "min"
        return known

    def _best(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
        """What W&B summarizes of rows: it forgets those before an interruption."""
        found = {}
        for name, best in self._bests().items():
            if values := [row[name] for row in rows if name in row]:
                found[name] = {best: (max if best == "max" else min)(values), "last": values[-1]}
        return found

    def close(self) -> None:
        """End the runs of points that were interrupted; the next launch continues them."""
        for run in self.open_runs.values():
            run.finish(exit_code=1)

    def _read_ledger(self) -> dict[tuple[str, str, str], str]:
        """{(run id, mode, project): run id with its tags, as logged last}."""
        return {
            (entry.partition("+")[0], mode, where): entry
            for entry, mode, where in entries(self.folder / LOGGED)
        }

    def _note(self, entry: str) -> None:
        self.logged[entry.partition("+")[0], self.resolved, self.where] = entry
        note(self.folder / LOGGED, [[entry, self.resolved, self.where]])


def settings(composed: Mapping[str, Any]) -> dict[str, Any]:
    """The composed configuration of a point without keys that do not affect its numbers, and
    without paths: a file's name is kept, not where it lies on somebody's machine.
    """
    kept = {key: value for key, value in composed.items() if key not in NOT_IDENTITY}
    task = {
        key: Path(value).name if key in LOCATED and isinstance(value, str) else value
        for key, value in (kept.get("task") or {}).items()
    }
    return kept | {"task": task}


def newest_planned(folder: Path) -> int | None:
    """How many points the launch that was started last has; None in a search."""
    try:
        return int(Store(folder).study()["launches"][-1]["planned"])
    except (StudyError, KeyError, IndexError, TypeError, ValueError):
        return None


def resolve(mode: str, key: bool, environment: str) -> tuple[str, str]:
    """(online or offline, the reason if `mode` is auto). `environment`: wandb's own mode, which
    WANDB_MODE sets.
    """
    if mode != "auto":
        return mode, ""
    if environment != "online":
        return "offline", f", WANDB_MODE is {environment}"
    return ("online", ", a key is configured") if key else ("offline", ", no key is configured")
