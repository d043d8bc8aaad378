"""Weights & Biases: one run a point, written as points land, online or offline."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from study.interfaces import Tracker
from study.records import HISTORY, StudyError
from study.store import Store

HOST = "https://api.wandb.ai"
# Results need nobody to watch machine, console, code or requirements while they are sent. No host name leaves.
FAST: dict[str, Any] = {
    "silent": True,
    "host": "-",
    "console": "off",
    "disable_git": True,
    "save_code": False,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_save_requirements": False,
}


class Wandb(Tracker):
    """Run id = study + point id, so that a second launch or sync updates a run and never doubles it.

    mode auto: online where a key is configured (environment or netrc), else offline; then the runs lie in the study's
    wandb/ folder for `wandb sync`. What was logged is noted in wandb/logged.jsonl: a point is logged once a mode.
    """

    def __init__(self, *, mode: Literal["auto", "online", "offline"], project: str, entity: str | None) -> None:
        self.mode, self.project, self.entity = mode, project, entity

    def open(self, study: str, folder: Path) -> None:
        try:
            import wandb
        except ImportError as error:
            raise StudyError("wandb is not installed; pip install wandb, or tracker=[] to do without") from error
        self.wandb = wandb
        self.study, self.folder = study, folder / "wandb"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resolved = self.mode if self.mode != "auto" else ("online" if key_configured() else "offline")
        why = "" if self.mode != "auto" else (", a key is configured" if self.resolved == "online" else ", no key is configured")
        print(f"W&B: {self.resolved} (mode={self.mode}{why}), project {self.project}, group {study}")
        self.settings = wandb.Settings(mode=self.resolved, **FAST)
        self.logged = self._read_ledger()

    def log(self, result: Mapping[str, Any], folder: Path) -> None:
        entry = (run_id(self.study, result["id"]), self.resolved)
        if entry in self.logged:
            return
        store = Store(folder.parent.parent)
        row = store.known(result["row"])
        run = self.wandb.init(
            project=self.project,
            entity=self.entity,
            dir=str(self.folder.parent),
            id=entry[0],
            name=" ".join(f"{key}={value}" for key, value in result["labels"].items() if key in ("cell", "initializer", "clip", "depth", "seed")),
            group=self.study,
            job_type="point",
            resume="allow" if self.resolved == "online" else None,
            config={**result["labels"], "point": result["id"]},
            tags=[str(row[key]) for key in ("verdict", "outcome") if row.get(key)],
            reinit="finish_previous",
            settings=self.settings,
        )
        for values in history_rows(store, result["id"]):
            run.log({key: value for key, value in values.items() if key != "update"}, step=values["update"])
        run.summary.update({key: value for key, value in row.items() if value is not None})
        run.finish(exit_code=0)
        self._note(entry)

    def close(self) -> None:
        """Every run is finished as it is logged."""

    def _read_ledger(self) -> set[tuple[str, str]]:
        """(run id, mode) of what was logged; a line cut short by a crash is none."""
        path, entries = self.folder / "logged.jsonl", set()
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                run, mode = json.loads(line)
                entries.add((run, mode))
            except ValueError:
                continue
        return entries

    def _note(self, entry: tuple[str, str]) -> None:
        self.logged.add(entry)
        with (self.folder / "logged.jsonl").open("a", encoding="utf-8") as ledger:
            ledger.write(json.dumps(entry) + "\n")


def run_id(study: str, point: str) -> str:
    """W&B's ids take letters, digits, - and _ only, at most 128."""
    return f"{re.sub(r'[^A-Za-z0-9_-]', '-', study)[:100]}-{point}"


def key_configured() -> bool:
    """Whether wandb would find credentials without asking: environment, or netrc for its server."""
    from requests.utils import get_netrc_auth  # comes with wandb

    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    return get_netrc_auth(os.environ.get("WANDB_BASE_URL", HOST)) is not None


def history_rows(store: Store, id: str) -> list[dict[str, Any]]:
    """history.parquet as rows without their nulls; W&B takes Inf and NaN as they are."""
    frame = store.table("history", [id])
    names = [column.name for column in HISTORY]
    rows = []
    for values in frame[names].itertuples(index=False):
        row = {name: value for name, value in zip(names, values, strict=True) if not (value is None or (isinstance(value, float) and math.isnan(value)))}
        row["update"] = int(row["update"])
        rows.append(row)
    return rows
