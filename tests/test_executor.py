"""Workers: Ctrl-C leaves no child and no damage, an error takes no stored point, and what was stored is not trained again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.engine import run_group
from study.executors.local import _failed
from study.interfaces import Group
from study.launcher import alone
from study.records import StudyError
from study.store import Store
from tests.helpers import hears_ctrl_c, point

ROOT = Path(__file__).parent.parent


def children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def gone(pids: list[int]) -> bool:
    """Whether these processes end; Python's own resource tracker takes a moment after its parent."""
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_ctrl_c_leaves_no_child_and_what_is_stored_stays(tmp_path):
    command = [sys.executable, "-m", "study", "-m", "experiment=quick", "cell=rnn", "initializer=orthogonal", "seed=range(8)", "hidden=8", "updates=300"]
    command += ["task.form=row", "tracker=[]", "executor.workers=2", "executor.max_members=2", "probe=[]"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=hears_ctrl_c)
    store = Store(tmp_path / "outputs" / "quick")
    deadline = time.monotonic() + 120
    while not store.ids() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()[0]
    workers = children(process.pid)
    assert len(workers) >= 2
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "interrupted" in told
    assert "go on with the same command" in told
    assert "Traceback" not in told
    assert gone(workers)
    there = store.ids()
    assert 0 < len(there) < 8
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{len(there)} stored already" in again.stdout
    assert len(store.ids()) == 8


def test_ctrl_c_while_workers_start_is_no_traceback(tmp_path):
    """A terminal sends it to all processes at once, and a worker that still imports torch has not said what it does with it."""
    command = [sys.executable, "-m", "study", "-m", "experiment=quick", "cell=rnn", "seed=0,1", "updates=100000", "tracker=[]", "executor.workers=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, preexec_fn=hears_ctrl_c
    )
    workers: list[int] = []
    deadline = time.monotonic() + 120
    while len(workers) < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        workers = children(process.pid) if (tmp_path / "outputs" / "quick" / "study.json").exists() else []
    assert process.poll() is None, process.communicate()[0]
    time.sleep(0.5)
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    try:
        told, _ = process.communicate(timeout=120)
    finally:  # 100,000 updates must not go on behind a test that failed
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert "python -m study -m experiment=quick cell=rnn" in told
    assert gone(workers)


def test_an_error_keeps_the_points_stored_before_it(tmp_path):
    points = tuple(point(seed) for seed in range(3))
    run_group(Group(name="1", points=points[:1], cost=1.0), tmp_path, "cpu", lambda update: None)
    event = _failed(Group(name="1", points=points, cost=1.0), tmp_path, RuntimeError("gate jammed"))
    assert (event["lost"], event["ids"], event["reason"]) == (2, ["p0", "p1", "p2"], "RuntimeError: gate jammed")
    assert {id: Store(tmp_path).result(id)["row"]["status"] for id in Store(tmp_path).ids()} == {"p0": "done", "p1": "failed", "p2": "failed"}


def test_a_second_launch_of_a_running_study_is_refused(tmp_path):
    with alone(tmp_path / "outputs" / "mine"), pytest.raises(StudyError, match="another launch of this study is running"), alone(tmp_path / "outputs" / "mine"):
        raise AssertionError("both run")
    with alone(tmp_path / "outputs" / "mine"):
        assert list((tmp_path / "outputs" / "mine").iterdir()) == []
