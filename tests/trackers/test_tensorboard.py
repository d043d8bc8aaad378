"""TensorBoard's files, read back by its own reader; one sentence where it is not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from study.battery.trackers import check_tracker
from study.config.build import build
from study.records import StudyError
from study.store import Store
from tests.trackers.test_trackers import ROWS, with_everything, write

NODE = {"_target_": "study.trackers.tensorboard.TensorBoard", "rows": 100}


def test_where_it_is_missing_one_sentence_says_so_before_training(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match="needs the package tensorboard, which is not installed"):
        build(NODE, "tracker.tensorboard")


def test_rows_are_two_or_more():
    with pytest.raises(
        StudyError, match="rows must be at least 2, or null for every update, got 1"
    ):
        build({**NODE, "rows": 1}, "tracker.tensorboard")


def log(folder: Path, *ids: str, tags: tuple[str, ...] = ()) -> None:
    tracker, store = build(NODE, "tracker.tensorboard"), Store(folder)
    tracker.open("study", folder)
    for id in ids:
        result: dict[str, Any] = store.result(id)
        tracker.log({**result, "tags": list(tags)} if tags else result, store.point_folder(id))
    tracker.close()


def files(folder: Path) -> dict[str, int]:
    return {
        path.parent.name: path.stat().st_ino for path in folder.glob("tensorboard/*/events.out.*")
    }


def test_it_keeps_the_rules_of_trackers(tmp_path):
    check_tracker(lambda: build(NODE, "tracker.tensorboard"), tmp_path)
    assert len(files(tmp_path / "checked")) == 2


def test_its_own_reader_finds_every_value(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with_everything(tmp_path)
    log(tmp_path, "p1")
    (run,) = (tmp_path / "tensorboard").iterdir()
    assert run.name == "cell=lstm p1"
    read = EventAccumulator(str(run))
    read.Reload()
    found: dict[int, dict[str, float]] = {}
    for name in read.Tags()["scalars"]:
        for event in read.Scalars(name):
            if not name.startswith("point/"):
                found.setdefault(event.step, {})[name] = event.value
    assert {
        step: {k: v for k, v in row.items() if k != "lr"} for step, row in found.items()
    } == ROWS
    assert [event.value for event in read.Scalars("point/score")] == [0.25]


def test_a_point_is_written_again_only_when_it_changed(tmp_path):
    write(tmp_path, "p1")
    log(tmp_path, "p1")
    first = files(tmp_path)
    log(tmp_path, "p1", "p1")
    assert files(tmp_path) == first
    log(tmp_path, "p1", tags=("best",))
    assert list(files(tmp_path)) == list(first) and files(tmp_path) != first
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
