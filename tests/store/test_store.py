"""The store: whole or not at all, readable without torch, honest about damage."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from study.records import HISTORY, POINTS, StudyError, identity
from study.store import PointRecord, Store
from tests import ROOT

FINGERPRINT = {"experiment": "digits", "numerics": 1, "tasks": {"digits": "abc"}}
STUDY = {
    "name": "digits",
    "experiment": "digits",
    "fingerprint": FINGERPRINT,
    "declaration": {"factors": {}},
}


def record(id: str = "p1", **row: object) -> PointRecord:
    return PointRecord(
        id=id,
        row={"id": id, "cell": "lstm", "seed": 0, "status": "done", "score": 0.5, **row},
        labels={"cell": "lstm", "optimizer.lr": 0.004, "seed": 0},
        config="cell: lstm\n",
        overrides=["cell=lstm"],
        provenance={"git": None},
        tables={
            "history": {"update": [0, 1], "loss": [1.5, float("inf")], "val_loss": [2.0, None]}
        },
        weights={"layer1.bias": np.arange(3.0)},
    )


def test_a_level_that_is_called_nan_is_a_name(tmp_path):
    """result.json writes numbers that JSON does not have as these words; in a column of text they
    are words.
    """
    store = Store(tmp_path)
    store.write(record(id="nan", cell="inf", score=float("nan")))
    points = store.points()
    assert (points.loc[0, "id"], points.loc[0, "cell"]) == ("nan", "inf") and np.isnan(
        points.loc[0, "score"]
    )


def test_what_is_written_is_read(tmp_path):
    store = Store(tmp_path)
    store.write(record(max_grad_norm=float("inf"), reason=None))
    assert store.ids() == ["p1"]
    points = store.points()
    assert [column.name for column in POINTS] == list(points.columns)[: len(POINTS)]
    assert points.loc[0, "optimizer.lr"] == 0.004
    assert points.loc[0, "max_grad_norm"] == np.inf
    assert points["verdict"].isna().all()
    history = store.table("history", ["p1", "absent"])
    assert list(history.columns) == ["id", *(column.name for column in HISTORY)]
    assert history["loss"].tolist() == [1.5, np.inf]
    assert history["val_loss"].isna().tolist() == [False, True]
    np.testing.assert_array_equal(store.weights("p1")["layer1.bias"], np.arange(3.0))


def test_a_point_is_replaced_whole(tmp_path):
    store = Store(tmp_path)
    store.write(record(score=0.1))
    store.write(record(score=0.9))
    assert store.points()["score"].tolist() == [0.9]
    assert [path.name for path in store.points_folder.iterdir()] == ["p1"]


def test_a_write_that_fails_leaves_nothing(tmp_path):
    store = Store(tmp_path)
    broken = PointRecord(**{**vars(record()), "provenance": {"value": object()}})
    with pytest.raises(TypeError):
        store.write(broken)
    assert store.ids() == []
    assert list(store.points_folder.iterdir()) == []


def test_what_a_killed_writer_left_is_no_point(tmp_path):
    store = Store(tmp_path)
    store.write(record())
    (store.points_folder / ".partial-p2-x").mkdir()
    (store.points_folder / ".partial-p2-x" / "result.json").write_text("{}")
    (store.points_folder / "p3").mkdir()
    assert store.ids() == ["p1"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', '{"id": "p1"}'])
def test_a_damaged_result_is_named(tmp_path, text):
    store = Store(tmp_path)
    store.write(record())
    (store.points_folder / "p1" / "result.json").write_text(text)
    with pytest.raises(StudyError, match="p1/result.json"):
        store.points()


def test_a_damaged_table_is_named(tmp_path):
    store = Store(tmp_path)
    store.write(record())
    (store.points_folder / "p1" / "history.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(StudyError, match=r"p1/history.parquet: damaged"):
        store.table("history", ["p1"])


def test_launches_are_kept_and_the_declaration_is_the_last(tmp_path):
    store = Store(tmp_path)
    store.declare(STUDY, {"id": "1", "command": "one"})
    store.declare(
        {**STUDY, "declaration": {"factors": {"cell": ["lstm"]}}}, {"id": "2", "command": "two"}
    )
    store.finish_launch("2", seconds=3.0)
    study = store.study()
    assert study["launches"] == [
        {"id": "1", "command": "one"},
        {"id": "2", "command": "two", "seconds": 3.0},
    ]
    assert study["declaration"]["factors"] == {"cell": ["lstm"]}
    store.declare({**STUDY, "fingerprint": {**FINGERPRINT, "tasks": {"adding": "new"}}}, {})
    assert store.study()["fingerprint"]["tasks"] == {"digits": "abc", "adding": "new"}


def test_another_study_is_refused_and_told_what_differs(tmp_path):
    store = Store(tmp_path)
    store.check_mine(FINGERPRINT)
    store.declare(STUDY, {})
    before = (tmp_path / "study.json").read_text()
    store.check_mine(FINGERPRINT)
    with pytest.raises(StudyError, match=r"(?s)belongs to another study.*tasks.*abc.*def.*name="):
        store.check_mine({**FINGERPRINT, "tasks": {"digits": "def"}})
    assert (tmp_path / "study.json").read_text() == before
    store.check_mine({**FINGERPRINT, "tasks": {"digits": "abc", "adding": "new"}})
    store.check_mine({**FINGERPRINT, "tasks": {"adding": "new"}})


def test_a_launch_that_looks_while_another_declares_the_study_is_not_refused(tmp_path, monkeypatch):
    seen = []

    def look_and_write(path, write):
        partial = path.with_name(f".partial-77-{path.name}")
        write(partial)
        seen.append(sorted(one.name for one in tmp_path.iterdir()))
        Store(tmp_path).check_mine(FINGERPRINT)
        partial.replace(path)

    monkeypatch.setattr("study.store.declaration.write_whole", look_and_write)
    Store(tmp_path).declare(STUDY, {})
    assert seen == [[".partial-77-study.json"]], "nothing else before study.json stands"


def test_a_folder_that_is_no_study_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StudyError, match=r"no study\.json"):
        Store(tmp_path).check_mine(FINGERPRINT)
    with pytest.raises(StudyError, match="no study here"):
        Store(tmp_path).study()


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StudyError, match="cannot write here"):
        Store(tmp_path / "file" / "digits").check_mine(FINGERPRINT)


def test_a_folder_nobody_may_write_to_is_refused():
    """/proc refuses root too."""
    with pytest.raises(StudyError, match="cannot write here"):
        Store("/proc/outputs/digits").check_mine(FINGERPRINT)


def test_reading_needs_no_torch(tmp_path):
    Store(tmp_path).write(record())
    code = (
        "import sys; sys.modules['torch'] = None; from study.store import Store; s ="
        " Store(sys.argv[1]); s.points(); s.table('history', s.ids()); s.weights('p1')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT)


def test_identity_is_of_what_decides_the_numbers_and_nothing_else():
    config = {
        "cell": {"_target_": "x"},
        "task": {"_target_": "y", "path": "here/a.csv", "target": "price"},
        "seed": 0,
        "batch": 64,
        "name": "a",
        "probe": {},
        "tracker": {},
        "executor": {},
        "device": "auto",
    }
    config |= {"stop": {"solved_checks": None, "diverged": True}}
    base = identity(config, data_hash="d", kernel="reference", device_type="cpu")
    same = {
        **config,
        "name": "b",
        "task": {**config["task"], "path": "there/b.csv"},  # what is in it is in the data's hash
        "probe": {"p": 1},
        "tracker": {"t": 1},
        "executor": {"workers": 9},
        "device": "cpu",
        "health": {"fading": 1},
    }
    assert identity(same, data_hash="d", kernel="reference", device_type="cpu") == base
    assert (
        identity(
            dict(reversed(config.items())), data_hash="d", kernel="reference", device_type="cpu"
        )
        == base
    )
    assert (
        identity(
            {**config, "stop": {"solved_checks": None, "diverged": False}},
            data_hash="d",
            kernel="reference",
            device_type="cpu",
        )
        == base
    )
    others = [
        identity(
            {**config, "stop": {"solved_checks": 3, "diverged": True}},
            data_hash="d",
            kernel="reference",
            device_type="cpu",
        ),
        identity({**config, "seed": 1}, data_hash="d", kernel="reference", device_type="cpu"),
        identity({**config, "batch": 32}, data_hash="d", kernel="reference", device_type="cpu"),
        identity(config, data_hash="e", kernel="reference", device_type="cpu"),
        identity(config, data_hash="d", kernel="fast", device_type="cpu"),
        identity(config, data_hash="d", kernel="reference", device_type="cuda"),
    ]
    assert len({base, *others}) == 7
    assert json.dumps(base)


def test_what_a_killed_process_left_is_cleared_up_and_the_only_copy_is_kept(tmp_path):
    """Killed while it wrote, after the swap, and between the two renames of a swap; nothing of a
    point that somebody is busy with.
    """
    store = Store(tmp_path)
    for id in ("p1", "p2"):
        store.write(record(id=id))
    points = store.points_folder
    for name in (
        ".partial-p1-abc_12",
        ".partial-mine-tuned-abc_12",
        ".old-7-p1",
        ".old-8-busy-tuned",
        ".partial-busy-tuned-abc_12",
    ):
        shutil.copytree(points / "p1", points / name)
    (points / "p2").rename(points / ".old-9-p2")
    store.tidy({"busy-tuned"})
    assert sorted(path.name for path in points.iterdir()) == [
        ".old-8-busy-tuned",
        ".partial-busy-tuned-abc_12",
        "p1",
        "p2",
    ]
    assert store.result("p2")["id"] == "p2"
