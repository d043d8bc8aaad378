"""The machine's best speed so far is kept, and estimates of plans follow it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.launch.estimate import around, note_times, training
from study.machine import speed, taken
from study.machine.taken import LAST, note_taken


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    speed.slowness.cache_clear()
    yield tmp_path / "rnn-gradient-study" / "speed.json"
    speed.slowness.cache_clear()


def test_the_best_is_kept_and_timed_again_where_it_cannot_be_read(cache: Path):
    first = speed.slowness()
    assert 0.1 < first < 100
    (kept,) = json.loads(cache.read_text()).items()
    assert kept[1] == pytest.approx(first * speed.REFERENCE)
    cache.write_text(json.dumps({kept[0]: 1e-6 * speed.REFERENCE}))
    speed.slowness.cache_clear()
    assert speed.slowness() == pytest.approx(1e-6)
    cache.write_text(json.dumps({kept[0]: 1e6 * speed.REFERENCE}))  # timed beside other work
    speed.slowness.cache_clear()
    assert speed.slowness() < 100
    assert json.loads(cache.read_text())[kept[0]] < 100 * speed.REFERENCE
    for spoiled in ("", "[]", '{"another machine": 1}', json.dumps({kept[0]: "fast"})):
        cache.write_text(spoiled)
        speed.slowness.cache_clear()
        assert 0.1 < speed.slowness() < 100
        assert list(json.loads(cache.read_text())) == [kept[0]]


def test_a_folder_that_cannot_be_written_is_done_without(cache: Path):
    cache.parent.write_text("a file where the folder should be")
    assert 0.1 < speed.slowness() < 100


def test_training_takes_longer_on_a_slower_machine_and_no_less_than_its_longest_group(
    cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(speed, "_seconds", lambda: 2 * speed.REFERENCE)

    def group(cost: float, **own: object) -> SimpleNamespace:
        return SimpleNamespace(cost=cost, points=[SimpleNamespace(config={"updates": 1000, **own})])

    assert training([group(10)], 2, "cpu") == pytest.approx(2 * (10 + 1))
    assert training([group(10), group(10), group(10)], 2, "cpu") == pytest.approx(33)
    assert training([group(10), group(1)], 2, "cpu") == pytest.approx(22)
    assert training([group(10, model={})], 2, "cpu") == 10, "a model of one's own is timed itself"
    assert training([], 2, "cpu") == 0
    assert around(100) > around(10) > 0


def test_estimates_follow_the_middle_of_the_last_times_that_something_took(
    cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(speed, "_seconds", lambda: 2 * speed.REFERENCE)
    monkeypatch.setattr(taken, "overloaded", lambda: False)
    guessed = around(100)
    for seconds in (50, 20, 30):
        note_taken("start", seconds, 10)
        note_taken("page", seconds, 10)
    assert around(100) == pytest.approx(guessed * 3 / 2)
    for _ in range(LAST):
        note_taken("page", 20, 10)
        note_taken("page", 1e6, 10)  # suspended
        note_taken("start", 20, 10)
    assert around(100) == pytest.approx(guessed)
    monkeypatch.setattr(taken, "overloaded", lambda: True)
    note_taken("start", 15, 10)
    assert around(100) == pytest.approx(guessed)
    cache.with_name("taken.json").write_text('{"no": []}')
    assert around(100) == pytest.approx(guessed)


def test_points_that_ended_early_do_not_make_plans_of_whole_ones_short(
    cache: Path, monkeypatch: pytest.MonkeyPatch
):
    """A quarter of the updates in a quarter of the time teaches what all of them do."""
    monkeypatch.setattr(speed, "_seconds", lambda: speed.REFERENCE)
    monkeypatch.setattr(taken, "overloaded", lambda: False)
    points = [SimpleNamespace(id=id, config={"updates": 1000}) for id in "ab"]
    groups: Any = [SimpleNamespace(cost=3.0, points=points)]
    rows = {
        "a": {"seconds": 4.0, "updates": 1000, "updates_done": 1000},
        "b": {"seconds": 1.0, "updates": 1000, "updates_done": 250},
    }

    def result(id: str) -> dict[str, Any]:
        return {"row": rows[id]} if id in rows else {"row": {}}

    store: Any = SimpleNamespace(result=result)
    assert training(groups, 1, "cpu") == pytest.approx(4)
    note_times(store, groups, ["a", "b"], 2, "cpu")
    assert training(groups, 1, "cpu") == pytest.approx(8)
    note_times(store, groups, ["nothing was read of it"], 2, "cpu")
    note_times(store, groups, [], 2, "cpu")
    assert training(groups, 1, "cpu") == pytest.approx(8)
    assert training(groups, 1, "cuda") == 3, "a GPU is timed of its own"
