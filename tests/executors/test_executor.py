"""Workers: Ctrl-C leaves no child and no damage, and what was stored is not trained again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from study.store import Store
from tests import ROOT
from tests.support.faults import children, gone
from tests.support.helpers import hears_ctrl_c

pytestmark = pytest.mark.slow


def descendants(pid: int) -> list[int]:
    return [each for child in children(pid) for each in (child, *descendants(child))]


def test_ctrl_c_leaves_no_child_and_what_is_stored_stays(tmp_path):
    """With W&B, which has a process and a service of its own; a terminal sends the signal to all of
    them.
    """
    command = [
        sys.executable,
        "-m",
        "study",
        "-m",
        "experiment=quick",
        "cell=rnn",
        "initializer=orthogonal",
        "seed=range(8)",
        "hidden=8",
        "updates=300",
    ]
    command += ["task.form=row", "executor.workers=2", "executor.max_members=2", "probe=[]"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "tracker.wandb.mode=offline"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=hears_ctrl_c,
    )
    store = Store(tmp_path / "outputs" / "quick")
    deadline = time.monotonic() + 120
    while not store.ids() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()[0]
    below = descendants(process.pid)
    assert len(below) >= 4, "two workers, W&B's process, its service"
    os.killpg(process.pid, signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "interrupted" in told
    assert "run the same command" in told
    assert "Traceback" not in told
    assert gone(below)
    there = store.ids()
    assert 0 < len(there) < 8
    again = subprocess.run(
        [*command, "tracker=[]"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{len(there)} stored already" in again.stdout
    assert len(store.ids()) == 8


def test_ctrl_c_while_workers_start_is_no_traceback(tmp_path):
    """A terminal sends it to all processes at once, and a worker that still imports torch has not
    said what it does with it.
    """
    command = [
        sys.executable,
        "-m",
        "study",
        "-m",
        "experiment=quick",
        "cell=rnn",
        "seed=0,1",
        "updates=100000",
        "tracker=[]",
        "executor.workers=2",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=hears_ctrl_c,
    )
    workers: list[int] = []
    deadline = time.monotonic() + 120
    while len(workers) < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        workers = (
            children(process.pid)
            if (tmp_path / "outputs" / "quick" / "study.json").exists()
            else []
        )
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
