"""Rows that trackers receive while points train: those of the stored history, in order, with the
time; also of members that diverge, end early, are interrupted, or are trained by a user's trainer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from study.interfaces import Group, Point
from study.store import Store
from study.trackers.shared.rows import live_rows, rows_of
from study.training import live
from study.training.engine import run_group
from study.training.loop import Stopped
from tests.training.test_early_end import EVERY, UPDATES, members
from tests.training.test_trainers import trained

ASKED = {"sink": {"_target_": "tests.support.faults.Sink", "rows": 6}}
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(live, "SECONDS", 0.0)


def train(points: Sequence[Point], folder: Path, stop_at: int | None = None) -> Rows:
    """What was received of each point."""
    received: Rows = {}

    def on_rows(rows: Any) -> None:
        for id, new in rows.items():
            received.setdefault(id, []).extend(new)

    group = Group("1", tuple(points), 1.0)
    run_group(group, folder, "cpu", lambda update: update == stop_at, on_rows=on_rows)
    return received


def stored(folder: Path, id: str, most: int | None) -> dict[int, dict[str, Any]]:
    store = Store(folder)
    return {row["update"]: row for row in rows_of(store, id, most, store.config(id))}


def named(rows: Sequence[dict[str, Any]], point: Point) -> dict[int, dict[str, Any]]:
    found = live_rows(rows, point.config)
    assert [row["update"] for row in found] == sorted({row["update"] for row in found})
    return {row["update"]: row for row in found}


@pytest.mark.parametrize("company", [slice(None), slice(2, 3)], ids=["a group", "alone"])
def test_rows_are_those_that_the_history_shows_later(tmp_path, company):
    begun = time.time()
    points = members(None, diverged=False, depth=2, tracker=ASKED)[company]
    received = train(points, tmp_path)
    assert received.keys() == {each.id for each in points}
    for each in points:
        rows, later = received[each.id], stored(tmp_path, each.id, None)
        assert all(row == later[update] for update, row in named(rows, each).items())
        assert all(begun <= row["time"] <= time.time() for row in rows)
        assert any("health/D/layer_2" in row for row in named(rows, each).values())
        if each.id == "nan":
            assert [row["update"] for row in rows if row.get("diverged")] == [3]
            assert rows[-1]["update"] == 3
        else:
            shown = {*stored(tmp_path, each.id, 6)} - {UPDATES}
            assert {row["update"] for row in rows} == shown and 0 < len(shown) < UPDATES
            assert not any(row.get("diverged") for row in rows)


def test_members_that_end_early_and_the_others_keep_their_rows(tmp_path):
    points = members(2, tracker=ASKED)
    received, ends = train(points, tmp_path), set()
    for each in points:
        later = stored(tmp_path, each.id, None)
        assert all(row == later[at] for at, row in named(received[each.id], each).items())
        ends.add(max(later))
        assert received[each.id][-1]["update"] >= max(later) - EVERY
    assert len(ends) > 1, "or this tests nothing"


def test_after_an_interruption_they_come_again_from_the_first(tmp_path):
    points = members(None, tracker=ASKED)[:2]
    with pytest.raises(Stopped):
        train(points, tmp_path, stop_at=UPDATES // 2)
    received = train(points, tmp_path)
    for each in points:
        later = stored(tmp_path, each.id, 6)
        assert named(received[each.id], each) == {at: later[at] for at in [*later][:-1]}
        assert "time" not in received[each.id][0] and "time" in received[each.id][-1]


def test_rows_that_a_users_trainer_logs(tmp_path):
    point = trained()
    point.config["tracker"] = ASKED
    received = train([point], tmp_path)
    later = stored(tmp_path, point.id, None)
    assert 2 <= len(received[point.id]) < len(later)
    rows = named(received[point.id], point)
    assert rows == {update: later[update] for update in rows}


@pytest.mark.parametrize("tracker", [{}, {"csv": {"histories": True}}])
def test_who_asks_for_no_rows_gets_none(tmp_path, tracker):
    assert train(members(None, tracker=tracker)[:1], tmp_path) == {}


def test_a_short_training_sends_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "SECONDS", 3600.0)
    assert train(members(None, tracker=ASKED)[:1], tmp_path) == {}
