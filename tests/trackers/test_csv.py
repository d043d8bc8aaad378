"""CSV files of points and histories: whole rows at any time, each point once, launches together."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pandas as pd

from study.battery.trackers import check_tracker
from study.store import Store
from study.trackers.csv import Csv
from tests.trackers.test_trackers import write


def log(folder: Path, *ids: str, tags: tuple[str, ...] = (), histories: bool = True) -> None:
    tracker, store = Csv(histories=histories), Store(folder)
    tracker.open("study", folder)
    for id in ids:
        tracker.log({**store.result(id), "tags": list(tags)}, store.point_folder(id))
    tracker.close()


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "csv" / name)


def test_it_keeps_the_rules_of_trackers(tmp_path):
    check_tracker(lambda: Csv(histories=True), tmp_path)
    assert len(read(tmp_path / "checked", "points.csv")) == 2
    assert len(read(tmp_path / "checked", "histories.csv")) == 4


def test_points_and_histories_are_read_back(tmp_path):
    write(tmp_path, "p1", reason="two\nlines, and a comma")
    log(tmp_path, "p1")
    (point,) = read(tmp_path, "points.csv").to_dict("records")
    assert (point["id"], point["cell"], point["optimizer.lr"], point["seed"]) == (
        "p1",
        "lstm",
        0.004,
        3,
    )
    assert point["max_grad_norm"] == float("inf") and point["reason"] == "two lines, and a comma"
    history = read(tmp_path, "histories.csv")
    assert history["id"].tolist() == ["p1"] * 3 and history["update"].tolist() == [0, 1, 2]
    assert history["val_loss"].tolist()[::2] == [2.0, 1.5] and history["val_loss"].isna()[1]


def test_histories_can_be_left_out(tmp_path):
    write(tmp_path, "p1")
    log(tmp_path, "p1", histories=False)
    assert [path.name for path in sorted((tmp_path / "csv").glob("*.csv"))] == ["points.csv"]


def test_a_point_that_changed_replaces_its_rows_and_no_other(tmp_path):
    for id in ("p1", "p2"):
        write(tmp_path, id)
    log(tmp_path, "p1", "p2")
    before = (tmp_path / "csv" / "histories.csv").read_bytes()
    log(tmp_path, "p1", tags=("search", "best"))
    points = read(tmp_path, "points.csv").set_index("id")
    assert points["tags"].fillna("").to_dict() == {"p1": "search best", "p2": ""}
    assert (tmp_path / "csv" / "histories.csv").read_bytes() == before
    write(tmp_path, "p1", verdict="shut")
    log(tmp_path, "p1", "p2")
    assert read(tmp_path, "points.csv").set_index("id")["verdict"].to_dict() == {
        "p1": "shut",
        "p2": "opens",
    }
    assert len(read(tmp_path, "histories.csv")) == 6


def test_what_a_crash_cut_short_is_made_whole(tmp_path):
    for id in ("p1", "p2"):
        write(tmp_path, id)
    log(tmp_path, "p1", "p2")
    for name in ("points.csv", "histories.csv"):
        path = tmp_path / "csv" / name
        whole = path.read_bytes()
        for cut in range(len(whole)):
            if cut % 37 and cut < len(whole) - 3:
                continue
            path.write_bytes(whole[:cut])
            if name == "histories.csv":  # as in a crash: a point's history is written before it
                (tmp_path / "csv" / "points.csv").unlink(missing_ok=True)
            log(tmp_path, "p1", "p2")
            found = path.read_bytes()
            assert sorted(found.splitlines()) == sorted(whole.splitlines()), cut


def test_another_factor_is_another_column(tmp_path):
    write(tmp_path, "p1")
    log(tmp_path, "p1")
    store = write(tmp_path, "p2")
    result = store.result("p2")
    tracker = Csv(histories=False)
    tracker.open("study", tmp_path)
    tracker.log(
        {**result, "labels": {**result["labels"], "dropout": 0.5}}, store.point_folder("p2")
    )
    log(tmp_path, "p1")
    points = read(tmp_path, "points.csv").set_index("id")
    assert points["dropout"].isna()["p1"] and points["dropout"]["p2"] == 0.5
    assert len(points) == 2


def test_launches_together_write_every_point_once(tmp_path):
    ids = [f"p{number}" for number in range(12)]
    for id in ids:
        write(tmp_path, id)
    context = multiprocessing.get_context("fork")
    running = [context.Process(target=log, args=(tmp_path, *ids[at:], *ids[:at])) for at in (0, 5)]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    assert sorted(read(tmp_path, "points.csv")["id"]) == sorted(ids)
    assert len(read(tmp_path, "histories.csv")) == 3 * len(ids)
