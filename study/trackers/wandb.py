"""Weights & Biases: one run per point, logged when the point is stored, online or offline."""

from __future__ import annotations

import math
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from study.interfaces import Tracker, require
from study.numerics.stages import stages
from study.records import CHOICES, HISTORY, LOCATED, NOT_IDENTITY, SIZES, StudyError
from study.store import Store
from study.store.wandb_runs import (
    LOGGED,
    disabled,
    entries,
    fast,
    key_configured,
    leave_agent,
    note,
    package,
    run_id,
)

ROOM = 2**20  # free bytes required before and after a run is logged


class Wandb(Tracker):
    """The run id consists of study and point id, so that logging again updates a run.

    With WANDB_MODE=disabled nothing is written. mode: auto is online if a key is configured
    (environment, netrc or wandb's settings) and WANDB_MODE does not forbid it, else offline; then
    runs wait in the study's wandb/ folder for
    `python -m study.sync`. patience: seconds a server may take at the start and at the end of a
    run; then the tracker gives up, and the next launch tries again. rows: number of updates in a
    run's history, evenly spread, in addition to validations, probe stages and the last update;
    null: all updates.

    wandb/logged.jsonl lists what was logged as [run with its tags, mode, project]; a run's last
    line counts. A point logged offline is logged again by a later launch that is online, since its
    files may never have been synced.
    """

    off = False  # whether the environment forbids W&B

    def __init__(
        self,
        *,
        mode: Literal["auto", "online", "offline"],
        project: str,
        entity: str | None,
        patience: float,
        rows: int | None,
    ) -> None:
        require(patience > 0, "wandb", "patience", "a number of seconds above 0", patience)
        require(
            rows is None or rows >= 2, "wandb", "rows", "at least 2, or null for every update", rows
        )
        self.mode, self.project, self.entity = mode, project, entity
        self.patience, self.rows = patience, rows

    def open(self, study: str, folder: Path) -> None:
        self.off = disabled()
        if self.off:
            print("W&B: nothing is written or sent, since WANDB_MODE is disabled")
            return
        if sweep := leave_agent():
            print(
                f"W&B: points are runs of their own, with their own ids, not runs of sweep {sweep}"
            )
        wandb = package(", or tracker=[] to do without")
        self.wandb, self.study, self.folder = wandb, study, folder / "wandb"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.where = "/".join(name for name in (self.entity, self.project) if name)
        self.varied = declared_factors(Store(folder))
        configured = wandb.setup(wandb.Settings(silent=True)).settings
        key = key_configured(configured)
        self.resolved, why = resolve(self.mode, key, configured.mode)
        print(
            f"W&B: {self.resolved} (mode={self.mode}{why}), project {self.project}, group {study}"
        )
        if self.resolved == "online" and not key:
            raise StudyError(
                "mode is online, but no key is configured; run `wandb login`, set WANDB_API_KEY, or"
                " use tracker.wandb.mode=offline"
            )
        self.settings = fast(self.resolved, self.patience)
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
            group=self.study,
            job_type="trial" if "search" in result.get("tags", ()) else "point",
            resume="allow" if self.resolved == "online" else None,
            config={**result["labels"], "point": result["id"], "settings": settings(composed)},
            tags=[
                *result.get("tags", ()),
                *(str(row[key]) for key in ("verdict", "outcome") if row.get(key)),
            ],
            reinit="finish_previous",
            settings=self.settings,
        )
        for values in history_rows(store, result["id"], self.rows, probed(composed)):
            run.log(
                {key: value for key, value in values.items() if key != "update"},
                step=values["update"],
            )
        run.summary.update({key: value for key, value in row.items() if value is not None})
        run.summary.update(metrics(store, result["id"]))
        run.finish(exit_code=0)

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


def metrics(store: Store, id: str) -> dict[str, float]:
    """Further metrics of a point, by part and name: test/f1_macro."""
    rows = store.table("metrics", [id]).itertuples(index=False)
    return {f"{row.part}/{row.metric}": row.value for row in rows if not math.isnan(row.value)}


def run_name(labels: Mapping[str, Any], varied: set[str]) -> str:
    """The levels that distinguish this point from others of its study."""
    return " ".join(
        f"{key}={value}"
        for key, value in labels.items()
        if key in varied or key not in {*CHOICES, *SIZES}
    )


def declared_factors(store: Store) -> set[str]:
    """Factors that the study declares; cell, initializer, clip and depth if it declares none."""
    try:
        factors = store.study()["declaration"]["factors"]
    except (StudyError, KeyError):
        factors = ()
    return set(factors) or {"cell", "initializer", "clip", "depth"}


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


def probed(composed: Mapping[str, Any]) -> set[int]:
    """Updates at which a point's probes measure, according to its stored configuration."""
    nodes = [node for node in composed.get("probe", {}).values() if node.get("stages")]
    return {update for node in nodes for update in stages(node["stages"], composed["updates"])}


def history_rows(
    store: Store, id: str, most: int | None, extra: Collection[int]
) -> list[dict[str, Any]]:
    """history.parquet as rows, without missing values and NaN, which a frame does not distinguish.

    `most` rows, evenly spread and including the first and the last (None: all), and in addition
    those of validations and of the updates `extra`.
    """
    names = [column.name for column in HISTORY]
    frame = store.table("history", [id])[names]
    if most is not None and len(frame) > most:
        shown = (
            frame["val_loss"].notna()
            | frame["val_score"].notna()
            | frame["update"].isin(list(extra))
        )
        spread = {round(place * (len(frame) - 1) / (most - 1)) for place in range(most)}
        frame = frame[shown.to_numpy() | [number in spread for number in range(len(frame))]]
    rows = []
    for values in frame.itertuples(index=False):
        row = {
            name: value
            for name, value in zip(names, values, strict=True)
            if not (value is None or (isinstance(value, float) and math.isnan(value)))
        }
        row["update"] = int(row["update"])
        rows.append(row)
    return rows
