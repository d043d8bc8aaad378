"""A point's id depends on its data, not on where the file lies."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.interfaces import Point
from study.launch import plan
from study.store import Store
from tests.support.commands import call

SMALL = ["task=npz", "cell=rnn", "hidden=4", "batch=4", "updates=2", "validate_every=1"]
SMALL += ["tracker=[]", "executor.workers=1"]


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    path = tmp_path / "first" / "mine.npz"
    path.parent.mkdir()
    x = np.random.default_rng(1).normal(size=(40, 5, 2))
    np.savez(path, x=x, y=np.repeat(["cold", "warm"], 20))
    return path


def study(folder: Path, path: str, *more: str) -> str:
    done = call(folder, "study", "-m", *SMALL, f"task.path={path}", "seed=0,1", *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_that_was_moved_trains_nothing_again(arrays: Path, tmp_path: Path) -> None:
    study(tmp_path, "first/mine.npz")
    arrays.rename(tmp_path / "moved.npz")
    for spelt in ("moved.npz", str(tmp_path / "moved.npz")):
        assert "2 points, 2 stored already, 0 to train" in study(tmp_path, spelt, "plan=true")


def changed(arrays: Path) -> None:
    with np.load(arrays) as held:
        np.savez(arrays, x=held["x"] ** 3, y=held["y"])


def test_another_file_in_its_place_is_trained(arrays: Path, tmp_path: Path) -> None:
    study(tmp_path, "first/mine.npz")
    changed(arrays)
    assert "0 stored already" in study(tmp_path, "first/mine.npz", "plan=true", "name=other")


def test_the_same_data_in_other_units_are_refused(arrays: Path, tmp_path: Path) -> None:
    """Scaled they train alike, and an export of the stored points would answer in the old units."""
    study(tmp_path, "first/mine.npz")
    with np.load(arrays) as held:
        np.savez(arrays, x=held["x"] + 273.15, y=held["y"])
    done = call(tmp_path, "study", "-m", *SMALL, "task.path=first/mine.npz", "seed=0,1")
    assert done.returncode != 0 and "name=…" in done.stdout + done.stderr


def test_a_file_that_changes_after_the_plan_stores_nothing_under_its_id(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers read the file again: what they would store belongs to other data."""
    planned = plan._point

    def then_change(*arguments: Any) -> Point:
        found = planned(*arguments)
        if found.seed == 1:
            changed(arrays)
        return found

    monkeypatch.setattr(plan, "_point", then_change)
    call(tmp_path, "study", "-m", *SMALL, "task.path=first/mine.npz", "seed=0,1")
    rows = Store(tmp_path / "outputs" / "scratch").points()
    assert (rows["status"] == "failed").all()
    assert rows["reason"].str.contains("its data are not those").all()


def test_points_of_earlier_versions_keep_their_ids(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their ids have the path in them."""
    with monkeypatch.context() as before:
        before.setattr(plan, "identity", functools.partial(plan.identity, located=True))
        study(tmp_path, "first/mine.npz")
    assert "2 stored already, 0 to train" in study(tmp_path, "first/mine.npz", "plan=true")
