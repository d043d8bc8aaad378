"""MLflow's store, read back by its own client; one sentence where it is not installed, as in the
environment of the tests.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from study.battery.trackers import check_tracker
from study.config.build import build
from study.records import StudyError
from study.store import Store
from tests.trackers.test_trackers import ROWS, with_everything

NODE = {"_target_": "study.trackers.mlflow.MLflow", "uri": None, "rows": 100}
installed = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="mlflow-skinny is not installed"
)


def test_where_it_is_missing_one_sentence_says_so_before_training(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match="needs the package mlflow-skinny, which is not installed"):
        build(NODE, "tracker.mlflow")


def log(folder: Path, id: str, tags: tuple[str, ...] = ()) -> None:
    tracker, store = build(NODE, "tracker.mlflow"), Store(folder)
    tracker.open("my study", folder)
    tracker.log({**store.result(id), "tags": list(tags)}, store.point_folder(id))
    tracker.close()


@installed
def test_its_own_client_finds_every_value_once(tmp_path):
    from mlflow import MlflowClient

    with_everything(tmp_path)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")

    def runs():
        experiment = client.get_experiment_by_name("my study")
        return client.search_runs([experiment.experiment_id])

    log(tmp_path, "p1")
    log(tmp_path, "p1")
    (run,) = runs()
    assert (run.info.run_name, run.info.status) == ("cell=lstm", "FINISHED")
    assert run.data.params == {"cell": "lstm"} and run.data.tags["point"] == "p1"
    found: dict[int, dict[str, float]] = {}
    for name in run.data.metrics:
        for metric in client.get_metric_history(run.info.run_id, name):
            if name != "lr" and not name.startswith("point/"):
                found.setdefault(metric.step, {})[name] = metric.value
    assert found == ROWS and run.data.metrics["point/score"] == 0.25
    log(tmp_path, "p1", tags=("best",))
    (again,) = runs()
    assert again.info.run_id != run.info.run_id and again.data.tags["tags"] == "best"


@installed
def test_it_keeps_the_rules_of_trackers(tmp_path):
    check_tracker(lambda: build(NODE, "tracker.mlflow"), tmp_path)
