"""Classes of windows of long series, whose class column changes along them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from study.battery.tasks import check_task
from study.records import StudyError
from study.tasks.shared import window_classes
from study.tasks.shared.window_classes import majority
from tests.tasks.test_own_data import csv

WINDOWS = {"target": "activity", "kind": "windows", "window": 8, "stride": 4, "series": "who"}
CHANNELS = {"features": ["x", "z"], "time": "t"}


def recorded(people=12, rows=120, bouts=(17, 23, 9), seed=0):
    """Rows of persons who walk, sit and stand in turn; z is another number in each row."""
    drawn, frames = np.random.default_rng(seed), []
    for number in range(people):
        kinds = np.resize(np.repeat(["walk", "sit", "stand"], bouts), rows)
        level = pd.Series(kinds).map({"walk": 2.0, "sit": 0.0, "stand": -2.0}).to_numpy()
        frame = pd.DataFrame({"who": f"p{number}", "site": number // 2, "t": np.arange(rows)})
        frame["x"] = level + drawn.normal(size=rows)
        frames.append(frame.assign(activity=kinds))
    whole = pd.concat(frames, ignore_index=True)
    return whole.assign(z=drawn.permutation(len(whole)))


def plain(task, part):
    return task.parts[part].x.double().numpy() * task.deviation + task.mean


def by_hand(frame, window, stride):
    """{first z of a window: (all of its z, its class)}."""
    found = {}
    for _, rows in frame.groupby("who"):
        for begin in range(len(rows) - window + 1):
            of = rows.iloc[begin : begin + window]
            counts = of["activity"].value_counts()
            tied = set(counts[counts == counts.max()].index)
            last = next(kind for kind in reversed(of["activity"].tolist()) if kind in tied)
            found[int(of["z"].iloc[0])] = (of["z"].to_numpy(), last)
    return found


@pytest.mark.parametrize("settings", [{}, {"group": "site", "split": "group"}])
def test_a_window_has_the_class_of_most_of_its_rows(tmp_path, settings):
    frame = recorded()
    task = csv(tmp_path, frame.sample(frac=1, random_state=0), **WINDOWS, **CHANNELS, **settings)
    check_task(task)
    assert task.data.columns == ["x", "z"] and task.classes == ["sit", "stand", "walk"]
    windows, total = by_hand(frame, 8, 4), 0
    for part in ("train", "validation", "test"):
        y = task.parts[part].y.numpy()
        for z, number in zip(plain(task, part)[..., 1].round().astype(int), y, strict=True):
            rows, kind = windows[int(z[0])]
            assert np.array_equal(z, rows) and task.classes[number] == kind
        total += len(y)
    told = next(note for note in task.facts.notes if note.startswith("the class of a window"))
    assert f"of {total:,} windows" in told and "hold rows of several, of which it has 50%" in told


def test_no_row_is_in_two_parts(tmp_path):
    for settings in ({}, {"group": "site", "split": "group"}):
        task = csv(tmp_path, recorded(), **{**WINDOWS, **CHANNELS, "stride": 1}, **settings)
        seen = {part: set(plain(task, part)[..., 1].round().ravel()) for part in task.parts}
        assert not seen["train"] & seen["validation"] and not seen["test"] & (
            seen["train"] | seen["validation"]
        )
    frame = recorded().assign(part=lambda of: of["who"].map(lambda who: PART.get(who, "train")))
    task = csv(tmp_path, frame, **WINDOWS, part="part", split="file")
    assert len(task.parts["test"].x) == len(task.parts["validation"].x) == 2 * 29


PART = {"p1": "test", "p5": "test", "p2": "validation", "p7": "validation"}


def test_windows_of_one_series_without_a_name(tmp_path):
    frame = recorded(people=1, rows=600).drop(columns=["who", "site", "t"])
    task = csv(tmp_path, frame, **{**WINDOWS, "series": None}, missing="mean")
    check_task(task)
    assert [len(task.parts[part].x) for part in task.parts] == [89, 29, 29]


def test_no_window_crosses_a_gap(tmp_path):
    frame = recorded(people=4).drop(index=[60, 61])
    task = csv(tmp_path, frame, **WINDOWS, time="t", gaps="split")
    alone = csv(tmp_path, frame, **WINDOWS)
    assert 0 < len(alone.data.names) - len(task.data.names) <= 3


def test_ties_are_the_later_class():
    classes = np.array([0, 0, 1, 1, 0, 2, 1, 1])
    found, share = majority(classes, np.array([0, 1, 2, 4]), 4)
    assert found.tolist() == [1, 0, 1, 1] and share.tolist() == [0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kind": "classification", "stride": 1}, "must be the same .*; task.kind=windows classif"),
        ({"horizon": 2}, "task.horizon: is for task.kind=forecast"),
        ({"known": ["x"]}, "task.known: is for task.kind=forecast"),
        ({"season": 3}, "task.season: is for task.kind=forecast"),
        ({"target": ["activity", "who"]}, "task.target: activity, who are several columns"),
        ({"resample": "2s", "time": "t"}, "task.resample: rows that are made have no class"),
        ({"gaps": "fill", "time": "t", "missing": "mean"}, "task.gaps: rows .* no class"),
        ({"series": None, "group": "site"}, "task.group: windows by group need task.series"),
        ({"window": 60}, r"task.window = 60"),
        ({"quantiles": [0.5]}, "quantiles must be .* for numbers and not for classes"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, changes, told):
    with pytest.raises((StudyError, ValueError), match=told):
        csv(tmp_path, recorded(), **{**WINDOWS, **changes})


def test_parts_of_one_class_or_window_are_one_sentence(tmp_path):
    frame = recorded(bouts=(100, 10, 10))
    with pytest.raises(StudyError, match="all training windows .* 'walk'; task.split=group"):
        csv(tmp_path, frame, **WINDOWS)
    with pytest.raises(StudyError, match="task.window: .* gives validation 1 window"):
        csv(tmp_path, recorded(people=1), **{**WINDOWS, "window": 23})


def test_windows_that_do_not_fit_the_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(window_classes, "memory", lambda: 1e4)
    with pytest.raises(StudyError, match="task.stride: .* windows of 8 rows .* larger task.stride"):
        csv(tmp_path, recorded(), **WINDOWS)


def test_a_column_that_tells_the_class_is_told(tmp_path):
    frame = recorded().assign(code=lambda of: of["activity"].map({"sit": 1, "stand": 2, "walk": 7}))
    task = csv(tmp_path, frame, **WINDOWS)
    assert any(text.startswith("column code predicts the target") for text in task.facts.warnings)
