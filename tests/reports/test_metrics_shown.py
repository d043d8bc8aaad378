"""Metrics from the command line to the page: stored, compacted, tracked and shown."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from reports import api
from reports.data.study import Study
from reports.data.test_set import by_example, contrast_noise
from study.store import Store, compaction
from study.trackers.wandb import metrics
from tests.support.commands import call

ASKED = ["balanced_accuracy", "auroc", "top_2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 6, 1))
    total = x.sum((1, 2))
    np.savez(folder / "mine.npz", x=x, y=np.where(total > 2, "c", np.where(total < -2, "a", "b")))
    done = call(
        folder,
        "study",
        *("-m", "task=npz", "task.path=mine.npz", f"task.metrics=[{','.join(ASKED)}]"),
        *("task.class_weights=balanced", "cell=rnn,gru", "seed=0,1", "updates=20", "hidden=4"),
        *("batch=16", "name=mine", "tracker=[]", "probe=[transport]"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "outputs" / "mine"


def test_every_metric_is_stored_and_the_first_is_the_score(trained: Path) -> None:
    points, table = api.points(trained).set_index("id"), api.table(trained, "metrics")
    assert sorted(table["metric"].unique()) == sorted(ASKED)
    assert sorted(table["part"].unique()) == ["test", "validation"]
    assert len(table) == 4 * 2 * len(ASKED)
    first = table[table["metric"] == ASKED[0]].set_index("id")
    for part, column in (("test", "score"), ("validation", "val_score")):
        own = first.loc[first["part"] == part, "value"]
        assert own.to_dict() == pytest.approx(points[column].astype(float).to_dict())
    assert (points["score_se"] > 0).all()
    assert np.allclose(points["baseline"].astype(float), 1 / 3)


def test_no_example_has_a_share_of_a_score_over_the_split(trained: Path) -> None:
    study = Study(Store(trained))
    assert not study.by_example
    assert study.table("test").empty
    assert by_example(study).empty
    assert np.isnan(contrast_noise(study, study.stored, "cell", "gru", "rnn"))
    assert study.score_range == (0.0, 1.0)


def test_the_page_has_one_table_of_all(trained: Path) -> None:
    assert call(trained, "reports", "render", str(trained)).returncode == 0
    page = (trained / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>|<[^>]+>", " ", page, flags=re.S))
    assert "Every metric" in text
    for words in ("AUROC (higher is better; guess 0.500)", "top-2 accuracy (", "by class weights"):
        assert words in text, words
    assert "could not be" not in text


def test_the_tracker_sends_them_by_part(trained: Path) -> None:
    store = Store(trained)
    id = store.ids()[0]
    sent = metrics(store, id)
    assert set(sent) == {f"{part}/{name}" for part in ("validation", "test") for name in ASKED}
    assert sent[f"test/{ASKED[0]}"] == pytest.approx(store.result(id)["row"]["score"])


def test_compaction_keeps_them(trained: Path) -> None:
    store = Store(trained)
    ids = sorted(store.ids())
    before = store.table("metrics", ids)
    compaction.compact(trained, lease_seconds=60)
    after = Store(trained)
    assert after.table("metrics", ids).equals(before)
    assert not after.damaged()
