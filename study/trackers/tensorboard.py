"""TensorBoard: one run per point, in the folder STUDY/tensorboard for its --logdir."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.interfaces import Tracker, require
from study.records import StudyError
from study.store import Store
from study.store.atomic import swap_in
from study.trackers.shared.rows import declared_factors, metrics, rows_of, run_name

NAME = 150  # characters of a run's name at most; a folder's name may have 255 bytes
NOTE = "logged.json"


class TensorBoard(Tracker):
    """A run has the history by the names of study.trackers.shared.rows, and as hyperparameters the
    point's levels with its scores, D and U. Its folder is named by what the study varies, then the
    id; it appears whole, and is written again only if the point has changed since.

    rows: number of updates of a history, evenly spread, in addition to validations, probe stages
    and the last update; null: all updates. Needs the package tensorboard (pip install
    "rnn-gradient-study[tensorboard]").
    """

    def __init__(self, *, rows: int | None) -> None:
        require(
            rows is None or rows >= 2,
            "tensorboard",
            "rows",
            "at least 2, or null for every update",
            rows,
        )
        self.rows = rows
        if importlib.util.find_spec("tensorboard") is None:
            raise StudyError(
                "tracker.tensorboard needs the package tensorboard, which is not installed; pip"
                " install tensorboard, or leave tensorboard out of tracker="
            )

    def open(self, study: str, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer, self.folder = SummaryWriter, folder / "tensorboard"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.varied = declared_factors(Store(folder))

    def log(self, result: Mapping[str, Any], folder: Path) -> None:
        id, there = result["id"], self._folder(result)
        content = json.dumps(result, sort_keys=True, default=str)
        digest = hashlib.sha256(content.encode()).hexdigest()
        if (there / NOTE).is_file() and json.loads((there / NOTE).read_text()) == digest:
            return
        # Beside the folder that a running TensorBoard watches.
        partial = self.folder.parent / f".tensorboard-{os.getpid()}-{id}"
        shutil.rmtree(partial, ignore_errors=True)
        self._write(Store(folder.parent.parent), result, partial)
        (partial / NOTE).write_text(json.dumps(digest))
        swap_in(partial, there)

    def _folder(self, result: Mapping[str, Any]) -> Path:
        name = re.sub(r"[^\w=.,+-]+", " ", run_name(result["labels"], self.varied)).strip()
        return self.folder / f"{name[:NAME]} {result['id']}".strip()

    def _write(self, store: Store, result: Mapping[str, Any], folder: Path) -> None:
        id = result["id"]
        row, composed = store.known(result["row"]), store.config(id)
        with self.writer(log_dir=str(folder)) as writer:
            for values in rows_of(store, id, self.rows, composed):
                for name, value in values.items():
                    if name != "update":
                        writer.add_scalar(name, value, values["update"])
            found = {
                f"point/{key}": float(row[key])
                for key in ("score", "val_score", "final_score", "D_init", "D", "U", "solved_at")
                if row.get(key) is not None and math.isfinite(row[key])
            }
            levels = {
                key: value if isinstance(value, bool | int | float | str) else str(value)
                for key, value in result["labels"].items()
            }
            writer.add_hparams(levels, found | metrics(store, id), run_name=".")
            words = [
                f"{key}: {row[key]}" for key in ("status", "verdict", "outcome") if row.get(key)
            ]
            tags = ", ".join(result.get("tags", ()))
            writer.add_text("point", "  \n".join([*words, *([f"tags: {tags}"] if tags else [])]))

    def close(self) -> None:
        """Nothing to do: every run is complete when it is logged."""
