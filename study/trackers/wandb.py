"""Weights & Biases: one run per point, logged when the point is stored, online or offline."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from study.interfaces import Tracker, require
from study.records import LOCATED, NOT_IDENTITY, StudyError
from study.store import Store
from study.store.wandb_runs import (
    LOGGED,
    check_key,
    disabled,
    entries,
    fast,
    key_configured,
    leave_agent,
    names,
    note,
    package,
    run_id,
    unused,
)
from study.trackers.shared.rows import (
    declared_factors,
    higher_is_better,
    metrics,
    rows_of,
    run_name,
)

MODES = ("", "online", "offline", "disabled", "dryrun", "run", "shared")  # wandb's own
TAG = 64  # characters of a tag at most, by W&B
ROOM = 2**20  # free bytes required before and after a run is logged


class Wandb(Tracker):
    """The run id consists of study and point id, so that logging again updates a run.

    With WANDB_MODE=disabled or WANDB_DISABLED=true nothing is written. mode: auto is online if a
    key is configured (environment, netrc or wandb's settings) and WANDB_MODE does not forbid it,
    else offline; then runs wait in the study's wandb/ folder for `python -m study.sync`. patience:
    seconds a server may take at the start and at the end of a run; then the tracker gives up, and
    the next launch tries again. rows: number of updates in a run's history, evenly spread, in
    addition to validations, probe stages and the last update; null: all updates.

    tags, notes, group (null: the study's name) and job_type (null: point, or trial of a search) are
    those of every run. log_code: a folder whose .py and .yaml files become an artifact of the
    study's run (study.artifacts). system_metrics: wandb's, of the tracker's process while it logs.

    wandb/logged.jsonl lists what was logged as [run with its tags, mode, project]; a run's last
    line counts. A point logged offline is logged again by a later launch that is online, since its
    files may never have been synced.
    """

    off = ""  # what in the environment forbids W&B

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
        if mode == "online" and not disabled():
            check_key()

    def open(self, study: str, folder: Path) -> None:
        self.off = disabled()
        if self.off:
            print(f"W&B: nothing is written or sent, since {self.off}")
            return
        if ignored := unused():
            print(f"W&B: {ignored}")
        if sweep := leave_agent():
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

    def log(self, result: Mapping[str, Any], folder: Path) -> None:
        if self.off:
            return
        run, tags = run_id(self.study, result["id"]), list(result.get("tags", ()))
        # With its tags: a trial that becomes the best one, or no longer is, is logged again.
        entry = "+".join([run, *tags])
        if any(
            self.logged.get((run, mode, self.where)) == entry for mode in {self.resolved, "online"}
        ):
            return
        self._check_room()
        try:
            self._log(run, result, folder)
        except (self.wandb.Error, TimeoutError) as error:
            message = " ".join(str(error).split())
            raise StudyError(
                f"{message}. Nothing is lost: run the study again, or use"
                " tracker.wandb.mode=offline and python -m study.sync later"
            ) from error
        self._check_room()
        self._note(entry)

    def _check_room(self) -> None:
        """Raise StudyError if the disk is full: wandb does not report what it could not write."""
        if shutil.disk_usage(self.folder).free < ROOM:
            raise StudyError(
                f"the disk is full under {self.folder}; nothing is lost, the next launch logs what"
                " is missing"
            )

    def _log(self, id: str, result: Mapping[str, Any], folder: Path) -> None:
        store = Store(folder.parent.parent)
        row, composed = store.known(result["row"]), store.config(result["id"])
        run = self.wandb.init(
            project=self.project,
            entity=self.entity,
            dir=str(self.folder.parent),
            id=id,
            name=run_name(result["labels"], self.varied),
            group=self.group,
            job_type=self.job_type or ("trial" if "search" in result.get("tags", ()) else "point"),
            notes=self.notes,
            resume="allow" if self.resolved == "online" else None,
            config={**result["labels"], "point": result["id"], "settings": settings(composed)},
            tags=[
                *result.get("tags", ()),
                *(str(row[key]) for key in ("verdict", "outcome") if row.get(key)),
                *self.tags,
            ],
            reinit="finish_previous",
            settings=self.settings,
        )
        self._define(run)
        for values in rows_of(store, result["id"], self.rows, composed):
            run.log(values, step=values["update"])
        run.summary.update({key: value for key, value in row.items() if value is not None})
        run.summary.update(metrics(store, result["id"]))
        run.finish(exit_code=0)

    def _define(self, run: Any) -> None:
        """Charts over updates; in the summary, best and last of losses and scores."""
        run.define_metric("*", step_metric="update", step_sync=False)
        for name in ("train/loss", "val/loss"):
            run.define_metric(name, step_metric="update", step_sync=False, summary="min,last")
        if self.higher is not None:
            best = "max,last" if self.higher else "min,last"
            run.define_metric("val/score", step_metric="update", step_sync=False, summary=best)

    def close(self) -> None:
        """Nothing to do: every run is finished when it is logged."""

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


def resolve(mode: str, key: bool, environment: str) -> tuple[str, str]:
    """(online or offline, the reason if `mode` is auto). `environment`: wandb's own mode, which
    WANDB_MODE sets.
    """
    if mode != "auto":
        return mode, ""
    if environment != "online":
        return "offline", f", WANDB_MODE is {environment}"
    return ("online", ", a key is configured") if key else ("offline", ", no key is configured")
