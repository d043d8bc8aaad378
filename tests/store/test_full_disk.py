"""A disk that is full or read-only: told, nothing incomplete is counted, the same command goes on
when there is room again.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from study.store import Store
from tests.support.faults import command, end, statuses, until
from tests.support.mounts import read_only, tmpfs

pytestmark = pytest.mark.slow

ARGUMENTS = [
    "-m",
    "experiment=quick",
    "cell=rnn",
    "initializer=orthogonal",
    "seed=range(8)",
    "updates=6",
    "hidden=4",
    "task.form=row",
]
ARGUMENTS += [
    "tracker=[]",
    "probe=[]",
    "executor.workers=1",
    "executor.max_members=1",
    "store.checkpoint_seconds=0",
]


def run(folder: Path, *more: str) -> tuple[int, str]:
    process = command(folder, *ARGUMENTS, *more)
    try:
        told, _ = process.communicate(timeout=240)
    finally:
        end(process)
    assert "Traceback" not in told
    return process.returncode, told


def test_a_full_disk_ends_the_study_cleanly_and_it_goes_on_with_more_room(tmp_path):
    store = Store(tmp_path / "outputs" / "quick")
    with tmpfs(tmp_path / "outputs", "200k"):
        status, told = run(tmp_path)
        assert status == 1, told
        stored = len(store.ids())
        assert 0 < stored < 8
        assert f"{stored} done, {8 - stored} missing of 8 points" in told
        assert (
            "results cannot be written (No space left on device); nothing incomplete is kept"
            in told
        )
        assert "failed" not in statuses(store).values(), "a full disk is no point's fault"
        assert store.damaged() == {}
        assert [path for path in store.points_folder.iterdir() if path.name.startswith(".")] == []
        before = {id: store.version(id) for id in store.ids()}
        subprocess.run(["mount", "-o", "remount,size=20m", str(tmp_path / "outputs")], check=True)
        status, told = run(tmp_path)
        assert status == 0, told
        assert f"{stored} stored already" in told
        assert "8 done of 8 points" in told
        assert before.items() <= {id: store.version(id) for id in store.ids()}.items()
        assert store.damaged() == {}


def test_a_folder_that_becomes_read_only_ends_the_study_cleanly(tmp_path):
    store = Store(tmp_path / "outputs" / "quick")
    process = command(tmp_path, *ARGUMENTS, "clip=none", "updates=150")
    try:
        assert until(lambda: store.ids() or process.poll() is not None)
        with read_only(tmp_path / "outputs"):
            told, _ = process.communicate(timeout=120)
            assert store.damaged() == {}
            stored = len(store.ids())
            refused, said = run(tmp_path)
    finally:
        end(process)
    assert "Traceback" not in told
    assert process.returncode == 1, told
    assert "Read-only file system" in told
    assert f"{stored} done, {8 - stored} missing of 8 points" in told
    assert refused == 2
    assert "cannot write here" in said
