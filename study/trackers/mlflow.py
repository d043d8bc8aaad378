"""MLflow: one run per point, in an experiment named as the study."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.interfaces import Tracker, require
from study.records import StudyError
from study.store import Store
from study.trackers.shared.rows import declared_factors, metrics, rows_of, run_name

BATCH = 1000  # metrics per call, by MLflow
TEXT = 500  # characters of a parameter
DIGEST = "digest"  # the tag that a whole run has


class MLflow(Tracker):
    """A run has the history by the names of study.trackers.shared.rows over `step` = update, the
    point's levels as parameters, and the numbers of the points table as metrics point/score, ….

    A point that comes again is the same run, found by its tag `point`; it is logged again only if
    it has changed since. uri: of a server or a database (sqlite:///FILE); null: mlflow.db in the
    study's folder, for `mlflow ui --backend-store-uri sqlite:///outputs/NAME/mlflow.db`. rows:
    number of updates of a history, evenly spread, in addition to validations, probe stages and the
    last update; null: all updates. Needs the package mlflow-skinny (pip install
    "rnn-gradient-study[mlflow]").
    """

    def __init__(self, *, uri: str | None, rows: int | None) -> None:
        require(
            rows is None or rows >= 2,
            "mlflow",
            "rows",
            "at least 2, or null for every update",
            rows,
        )
        self.uri, self.rows = uri, rows
        if importlib.util.find_spec("mlflow") is None:
            raise StudyError(
                "tracker.mlflow needs the package mlflow-skinny, which is not installed; pip"
                " install mlflow-skinny, or leave mlflow out of tracker="
            )

    def open(self, study: str, folder: Path) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        uri = self.uri or f"sqlite:///{(folder / 'mlflow.db').resolve()}"
        self.client = MlflowClient(tracking_uri=uri)
        found = self.client.get_experiment_by_name(study)
        self.experiment = found.experiment_id if found else self.client.create_experiment(study)
        self.varied = declared_factors(Store(folder))

    def log(self, result: Mapping[str, Any], folder: Path) -> None:
        from mlflow.entities import Metric, Param

        id, store = result["id"], Store(folder.parent.parent)
        content = json.dumps(result, sort_keys=True, default=str)
        digest = hashlib.sha256(content.encode()).hexdigest()
        for run in self.client.search_runs([self.experiment], f"tags.point = '{id}'"):
            if run.data.tags.get(DIGEST) == digest:
                return
            self.client.delete_run(run.info.run_id)  # of earlier numbers, or cut short by a crash
        row, now = store.known(result["row"]), round(1000 * time.time())
        tags = {"point": id, "tags": " ".join(result.get("tags", ()))}
        tags |= {key: str(row[key]) for key in ("status", "verdict", "outcome") if row.get(key)}
        name = run_name(result["labels"], self.varied)
        run_id = self.client.create_run(self.experiment, now, tags, name).info.run_id
        params = [Param(key, str(value)[:TEXT]) for key, value in result["labels"].items()]
        self.client.log_batch(run_id, params=params)
        logged = [
            Metric(name, value, now, values["update"])
            for values in rows_of(store, id, self.rows, store.config(id))
            for name, value in values.items()
            if name != "update"
        ]
        numbers = {f"point/{key}": value for key, value in row.items() if _number(value)}
        last = int(row.get("updates_done") or 0)
        logged += [
            Metric(name, float(value), now, last)
            for name, value in (numbers | metrics(store, id)).items()
        ]
        for start in range(0, len(logged), BATCH):
            self.client.log_batch(run_id, metrics=logged[start : start + BATCH])
        self.client.set_tag(run_id, DIGEST, digest)  # last: now the run is whole
        self.client.set_terminated(run_id, "FINISHED")

    def close(self) -> None:
        """Nothing to do: every run is finished when it is logged."""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
