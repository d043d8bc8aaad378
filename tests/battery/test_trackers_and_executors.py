"""The battery of trackers and executors: built-in ones pass, faults are named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from study import battery
from study.battery.folder import tiny_group
from study.executors.local import Local
from study.interfaces import Executor, Tracker
from study.training.engine import run_group
from tests import ROOT

WANDB = """
import sys; from pathlib import Path
from study import battery; from study.trackers.wandb import Wandb
settings = {"project": "checked", "patience": 30.0, "rows": 100}
settings |= {"system_metrics": False, "alert": False}
settings |= dict.fromkeys(["entity", "tags", "notes", "group", "job_type", "log_code"])
battery.check_tracker(lambda: Wandb(mode="offline", **settings), Path(sys.argv[1]))
"""


def test_wandb_keeps_the_rules_of_trackers(tmp_path: Path):
    """In a separate process, since wandb leaves a service behind."""
    (tmp_path / "home").mkdir()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    ran = subprocess.run(
        [sys.executable, "-c", WANDB, str(tmp_path)],
        env={**clean, "HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(list((tmp_path / "checked" / "wandb").glob("offline-run-*"))) == 2


class WrongTracker(Tracker):
    def __init__(self, wrong: str) -> None:
        self.wrong = wrong

    def open(self, study, folder):
        if self.wrong == "second launch" and (folder / "log").exists():
            raise FileExistsError("log")
        (folder / "log").touch()

    def log(self, result, folder):
        if self.wrong == "writes":
            (folder / "seen").touch()
        if self.wrong == "twice":
            with (folder.parent.parent / "points.txt").open("a") as file:
                file.write(result["id"])

    def close(self):
        pass


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("second launch", "WrongTracker: FileExistsError: log"),
        ("writes", "changed what is stored in points/"),
        ("twice", "WrongTracker: a second launch .* wrote again into points.txt"),
    ],
)
def test_the_battery_of_trackers_finds_what_is_wrong(tmp_path, wrong, message):
    with pytest.raises(AssertionError, match=message):
        battery.check_tracker(lambda: WrongTracker(wrong), tmp_path)


def local() -> Local:
    settings = {"workers": 1, "max_members": 8, "timeout_minutes": None, "deaths": 5}
    return Local(device="cpu", same_failures=5, leave_seconds=5, **settings)


def test_the_local_executor_keeps_the_rules(tmp_path: Path):
    battery.check_executor(local, tiny_group(tmp_path), tmp_path)


class WrongExecutor(Executor):
    workers, max_members = 1, 8

    def __init__(self, wrong: str) -> None:
        self.wrong = wrong
        self.workers = None if wrong == "workers" else 1

    def run(self, groups, folder):
        if self.wrong == "event":
            yield {"event": "finished"}
        if self.wrong == "silent":
            for _ in local().run(groups, folder):
                pass
        for group in groups:
            try:
                run_group(group, folder, "cpu", lambda update: None)
            except RuntimeError as error:
                yield {"event": "stopped", "reason": str(error)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("workers", "workers must be a whole number of at least 1"),
        ("event", "got 'finished'"),
        ("company", "a sound point is missing because another point of its group raised"),
        ("silent", "2 points are stored without an event"),
    ],
)
def test_the_battery_of_executors_finds_what_is_wrong(tmp_path, wrong, message):
    with pytest.raises(AssertionError, match=message):
        battery.check_executor(lambda: WrongExecutor(wrong), tiny_group(tmp_path), tmp_path)
