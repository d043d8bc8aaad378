"""Tables split by the columns that say who trains: groups and parts, sequences and forecasts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from study.records import StudyError
from tests.tasks.test_own_data import csv


def wide(count=60):
    """Rows that can be told apart by their values, of ten persons."""
    return pd.DataFrame(
        {
            "a": np.arange(float(count)),
            "b": np.arange(float(count)) ** 2 % 17,
            "who": [f"p{number // 6}" for number in range(count)],
            "label": ["x", "y"] * (count // 2),
            "set": (["train"] * 4 + ["test"] + ["validation"]) * (count // 6),
        }
    )


def first_values(task):
    """The raw first value of each part's examples."""
    return {
        part: (of.x[:, 0, 0].numpy() * task.deviation[0] + task.mean[0]).round().astype(int)
        for part, of in task.parts.items()
    }


@pytest.mark.parametrize("how", ["group", "stratified", "time"])
def test_rows_of_a_person_stay_in_one_part(tmp_path, how):
    frame = wide()
    task = csv(tmp_path, frame, features=["a", "b"], group="who", split=how)
    people = {part: set(frame["who"][values]) for part, values in first_values(task).items()}
    assert sum(map(len, people.values())) == len(set.union(*people.values())) == 10


def test_a_column_says_who_trains(tmp_path):
    frame = wide()
    task = csv(tmp_path, frame, features=["a", "b"], part="set", split="file")
    for part, values in first_values(task).items():
        assert set(frame["set"][values]) == {part}
    assert task.facts.split == "as the file says, 40/10/10"
    two = csv(
        tmp_path,
        frame.replace("validation", "train"),
        features=["a", "b"],
        part="set",
        split="file",
        group=None,
    )
    assert [len(of.x) for of in two.parts.values()] == [40, 10, 10]


def long(series=12, rows=20):
    return pd.DataFrame(
        {
            "id": np.repeat([f"s{number}" for number in range(series)], rows),
            "t": np.tile(np.arange(rows), series),
            "who": np.repeat([f"p{number // 2}" for number in range(series)], rows),
            "label": np.arange(float(series * rows)),
        }
    )


FORECAST = {"kind": "forecast", "series": "id", "time": "t", "window": 4}


def test_forecasts_by_group_and_with_a_stride(tmp_path):
    frame = long()
    task = csv(tmp_path, frame, group="who", split="group", stride=3, **FORECAST)
    people = {part: set(frame["who"][values]) for part, values in first_values(task).items()}
    assert sum(map(len, people.values())) == len(set.union(*people.values())) == 6
    assert {int(value) % 20 % 3 for value in first_values(task)["train"]} == {0}
    gaps = frame.assign(f=np.where(frame.index % 7 == 3, np.nan, frame["label"]))
    filled = csv(tmp_path, gaps, group="who", split="group", missing="mean", **FORECAST)
    train = {int(v[-1] // 20) for v in raw(filled, "train")}
    known = gaps["f"][gaps.index.map(lambda row: row // 20 in train)].mean()
    assert any(np.isclose(value[-2], known, atol=1e-2) for value in raw(filled, "test", column=0))


def raw(task, part, column=-1):
    of = task.parts[part].x[:, :, column].numpy()
    return of * task.deviation[column] + task.mean[column]


def test_forecasts_of_the_parts_that_a_column_names(tmp_path):
    frame = long(2, 60).assign(set=np.tile(np.repeat(["test", "train", "validation"], 20), 2))
    task = csv(tmp_path, frame, part="set", split="file", **FORECAST)
    for part in task.parts:
        values = raw(task, part).round().astype(int)
        assert set(frame["set"][values.ravel()]) == {part}
        assert len(values) == 2 * (20 - 4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"split": "group"}, "task.split: group needs task.group"),
        ({"split": "file"}, "task.split: file needs task.part"),
        ({"part": "set"}, "task.part: needs task.split=file, got stratified"),
        ({"part": "none", "split": "file"}, "task.part: .* has no column 'none'"),
        ({"part": "who", "split": "file"}, "the part of row 2 must be train, .* got 'p0'"),
        ({"stride": 2}, "task.stride: is for task.kind=forecast"),
        (
            {"group": "who", "kind": "forecast", "target": "a", "features": ["b"]},
            "forecasts by group need task.series",
        ),
    ],
)
def test_what_is_wrong_with_a_split_of_a_table_is_told(tmp_path, changes, told):
    with pytest.raises(StudyError, match=told):
        csv(tmp_path, wide(), **{"features": ["a", "b"], **changes})


@pytest.mark.parametrize("series", [None, "id"])
def test_means_are_added_in_the_order_that_ids_were_made_with(tmp_path, series):
    """As pandas holds a table, column by column; the last bit decides hashes of large tables."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(7, 3, size=(3000, 3)), columns=["a", "b", "label"])
    frame["id"] = np.repeat(["x", "y"], 1500)
    task = csv(tmp_path, frame, kind="forecast", series=series, features=["a", "b"], window=20)
    again = pd.read_csv(tmp_path / "mine.csv")
    windows = []
    for _, rows in again.groupby("id") if series else [("", again)]:
        values = rows[["a", "b", "label"]].to_numpy(np.float64)
        train = len(rows) - 2 * round(0.2 * len(rows))
        windows += [values[begin : begin + 20] for begin in range(train - 20)]
    assert np.array_equal(task.mean, np.concatenate(windows).mean(0))
    assert np.array_equal(task.deviation, np.concatenate(windows).std(0))
