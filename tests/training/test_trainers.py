"""Points that a trainer of the user's own trains: one that dies, stops or errs loses nothing."""

from __future__ import annotations

import json
import math
import multiprocessing
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from study.config.check import check
from study.interfaces import Group, Point
from study.records import OWN, StudyError
from study.store import Store
from study.training.by_trainer import FOLDER
from study.training.engine import run_group
from study.training.loop import Stopped
from tests.support.helpers import point

HERE = "tests.training.trainers"


def trained(seed: int = 0, name: str = "train", **settings) -> Point:
    own = point(seed, updates=16, trainer={"_target_": f"{HERE}.{name}", "lr": 0.05} | settings)
    labels = {**dict.fromkeys(own.labels, OWN), "task": "sum", "trainer.lr": 0.05}
    return Point(own.id, own.config, labels, seed)


def run(folder, *points, stop_at=None) -> Store:
    group = Group("1", points, 1.0)
    run_group(group, folder, "cpu", lambda update: stop_at is not None and update >= stop_at)
    return Store(folder)


def columns(store: Store, id: str, name: str) -> dict:
    frame = store.table(name, [id])
    return {column: frame[column].tolist() for column in frame if column != "id"}


def contents(store: Store, id: str) -> dict:
    tables = {name: columns(store, id, name) for name in ("history", "states", "profile", "test")}
    row = {
        key: value
        for key, value in store.result(id)["row"].items()
        if key != "seconds" and not (isinstance(value, float) and math.isnan(value))
    }
    return {"row": row, **tables}


def assert_equal(one: dict, other: dict) -> None:
    assert one["row"] == other["row"]
    for name in one.keys() - {"row"}:
        assert one[name].keys() == other[name].keys() and len(one[name])
        for column in one[name]:
            np.testing.assert_array_equal(
                np.asarray(one[name][column]), np.asarray(other[name][column]), err_msg=column
            )


def test_what_it_tells_is_stored(tmp_path):
    store = run(tmp_path, trained())
    row, history = store.result("p0")["row"], columns(store, "p0", "history")
    assert (row["status"], row["updates_done"], row["params"]) == ("done", 16, 273)
    assert list(history["update"]) == [2, 4, 6, 8, 10, 12, 14, 16]
    assert row["val_score"] == min(history["val_score"])
    assert row["score"] == pytest.approx(np.mean(columns(store, "p0", "test")["value"]))
    assert np.isfinite(np.asarray(history["grad_norm"], dtype=float)).all()
    assert row["hidden"] is None and row["cell"] == OWN
    # measured at the first backward pass and every fourth after it
    assert sorted(set(columns(store, "p0", "states")["update"])) == [0, 4, 8, 12]
    assert row["verdict"] in ("carries", "opens", "shut", "closes", "explodes", "mixed")
    assert set(store.weights("p0")) >= {"rnn.weight_hh_l0", "out.bias"}
    assert not (tmp_path / FOLDER).exists()


def test_interrupted_and_resumed_it_stores_the_same(tmp_path):
    expected = contents(run(tmp_path / "whole", trained()), "p0")
    with pytest.raises(Stopped):
        run(tmp_path / "cut", trained(), stop_at=7)
    assert not Store(tmp_path / "cut").names()
    store = run(tmp_path / "cut", trained())
    assert_equal(contents(store, "p0"), expected)
    assert store.result("p0")["provenance"]["resumed"] == [8]


def test_one_that_stops_and_still_finishes_is_not_stored(tmp_path):
    """A score of half a run would be a wrong number under the id of a whole one."""
    own = trained(name="stops_and_finishes")
    with pytest.raises(Stopped):
        run(tmp_path, own, stop_at=3)
    assert not Store(tmp_path).names()


MISTAKES = {
    "forgets": "forgets returned without point.finish(score=…), after 16 of 16 updates",
    "goes_on": "point.log was called after point.finish",
    "twice": "point.finish was called twice",
    "goes_back": "updates must not go back, got 2 after 4",
    "beyond": "update must be from 0 to 16, as planned by `updates`, got 17",
    "text": "log: val_score must be one number, got 'good'",
    "vector": "finish: score must be one number, got [3]",
    "other_mean": "per_example has the mean 0.125, and score is 0.5",
    "leaves": "leaves called sys.exit('no more data')",
    "plain": "it has never read config.trainer.lr",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence_and_stores_nothing(tmp_path, name):
    with pytest.raises(StudyError) as error:
        run(tmp_path, trained(name=name))
    assert MISTAKES[name] in str(error.value)
    assert "\n" not in str(error.value)
    assert not Store(tmp_path).names()


def test_a_trainer_need_not_read_its_own_name(tmp_path):
    own = trained(name="plain")
    labels = {**own.labels, "trainer": "plain", "trainer.lr": OWN}
    assert run(tmp_path, Point(own.id, own.config, labels, own.seed)).names()


def test_what_a_trainer_changes_of_its_process_is_put_back(tmp_path, monkeypatch):
    process = multiprocessing.current_process()
    monkeypatch.setitem(process._config, "daemon", True)  # as the executor's workers are
    before = (Path.cwd(), signal.getsignal(signal.SIGTERM), torch.get_num_threads())
    store = run(tmp_path, *(trained(seed, "takes_liberties") for seed in range(2)))
    assert [store.result(f"p{seed}")["row"]["score"] for seed in range(2)] == [1.0, 1.0]
    assert before == (Path.cwd(), signal.getsignal(signal.SIGTERM), torch.get_num_threads())
    assert torch.get_default_dtype() == torch.float32 and process.daemon


def test_files_that_a_kill_cut_off_cost_no_more_than_time(tmp_path):
    """The log's last line, and a checkpoint that the trainer cannot read: it starts again."""
    expected = contents(run(tmp_path / "whole", trained()), "p0")
    for name, spoil in (("log.jsonl", b'{"upd'), ("last.pt", b"PK")):
        folder = tmp_path / name
        with pytest.raises(Stopped):
            run(folder, trained(), stop_at=7)
        path = folder / FOLDER / "p0" / name
        path.write_bytes(path.read_bytes() + spoil if name == "log.jsonl" else spoil)
        assert_equal(contents(run(folder, trained()), "p0"), expected)


def test_a_log_that_was_cut_off_in_its_first_line_is_begun_again(tmp_path):
    own = trained()
    folder = tmp_path / FOLDER / "p0"
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text('{"upd')
    with pytest.raises(Stopped):
        run(tmp_path, own, stop_at=7)
    assert [json.loads(line)["update"] for line in (folder / "log.jsonl").open()] == [2, 4, 6, 8]


def test_a_score_that_is_no_number_is_a_diverged_point(tmp_path):
    own = trained(name="nothing_finite")
    store = run(tmp_path, Point(own.id, own.config, {**own.labels, "trainer.lr": OWN}, own.seed))
    row = store.result("p0")["row"]
    assert (row["status"], row["diverged_at"]) == ("diverged", 2)
    assert row["score"] is None and "train_loss is not finite after 2 updates" in row["reason"]


def test_what_cannot_be_called_is_told_before_training():
    for name, sentence in (
        ("one_argument", "trainers.one_argument must take (config, point): too many positional"),
        ("nowhere", "has no attribute 'nowhere'"),
    ):
        with pytest.raises(StudyError, match="trainer: ") as error:
            check(trained(name=name).config)
        assert sentence in str(error.value)
