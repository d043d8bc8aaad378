"""SIGTERM, SIGUSR1, Ctrl-C once and twice, SIGKILL: what runs is kept, nothing is left running, the
numbers stay what they are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from study.store import Store
from study.training.checkpoints import Checkpoints
from tests.support.faults import command, end, gone, statuses, until, workers
from tests.training.test_engine import same_point

pytestmark = pytest.mark.slow

ARGUMENTS = [
    "-m",
    "experiment=quick",
    "cell=rnn",
    "initializer=orthogonal",
    "seed=0,1",
    "hidden=8",
    "updates=2000",
    "validate_every=1000",
]
ARGUMENTS += ["tracker=[]", "probe=[]", "executor.workers=1"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    process = command(folder, *ARGUMENTS)
    assert process.wait(timeout=240) == 0, process.communicate()[0]
    return Store(folder / "outputs" / "quick")


def made(folder: Path) -> int:
    """Updates that the checkpoints have, both points' alike; a very moment between two files is
    looked at again.
    """
    found = Checkpoints(folder).updates(
        path.name.removesuffix(".safetensors")
        for path in (folder / "checkpoints").glob("[!.]*.safetensors")
    )
    return min(found.values(), default=0)


def seconds_kept(folder: Path, id: str) -> float:
    """Training time that a point's checkpoint has."""
    with safe_open(Checkpoints(folder).path(id), "pt") as file:
        return float(json.loads(file.metadata()["facts"])["seconds"])


def interrupted(folder: Path, number: signal.Signals, *more: str) -> str:
    """Start, wait until more is trained than before, send the signal, wait for the end; exit status
    and what it told.
    """
    before = made(folder / "outputs" / "quick")
    process = command(folder, *ARGUMENTS, *more)
    try:
        assert until(
            lambda: made(folder / "outputs" / "quick") > before or process.poll() is not None
        )
        assert process.poll() is None, process.communicate()[0]
        of = workers(process.pid)
        assert of
        process.send_signal(number)
        told, _ = process.communicate(timeout=60)
        assert gone(of), "a worker was left"
    finally:
        end(process)
    assert "Traceback" not in told
    return f"{process.returncode}: {told}"


def test_whatever_interrupts_it_the_numbers_are_those_of_an_undisturbed_run(undisturbed, tmp_path):
    often = "store.checkpoint_seconds=0.3"
    folder, last = tmp_path / "outputs" / "quick", 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        told = interrupted(tmp_path, number, often)
        assert told.startswith("130: "), told
        assert "interrupted; 2 missing of 2 points" in told
        assert "2 of the missing points resume from their checkpoints" in told
        assert "run the same command" in told
        assert (before := last) < (last := made(folder))
        assert before < last < 2000
    spent = {id: seconds_kept(folder, id) for id in undisturbed.ids()}
    process = command(tmp_path, *ARGUMENTS, often)
    try:  # now a worker is told to leave: its group goes on in another one
        assert until(lambda: made(folder) > last or process.poll() is not None)
        (worker,) = workers(process.pid)
        os.kill(worker, signal.SIGUSR1)
        told, _ = process.communicate(timeout=120)
    finally:
        end(process)
    assert process.returncode == 0, told
    store = Store(folder)
    assert list(statuses(store).values()) == ["done", "done"]
    for id in store.ids():
        same_point(undisturbed, store, id)
        assert len(store.result(id)["provenance"]["resumed"]) == 4
        assert store.result(id)["row"]["seconds"] > spent[id] > 0, "earlier launches count"
    assert list((folder / "checkpoints").iterdir()) == []
    assert list((folder / "leases").iterdir()) == []


# --- a step that does not end ---------------------------------------------------------------------


def endless(folder: Path, *more: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A study whose worker is in the middle of an update that never ends."""
    (folder / "clip").mkdir()
    (folder / "clip" / "endless.yaml").write_text(
        "_target_: tests.support.faults.Fault\nhow: loop\nat: 1\n"
    )
    arguments = [*ARGUMENTS, "clip=endless", "store.checkpoint_seconds=0", *more]
    process = command(folder, arguments[0], "--config-dir", str(folder), *arguments[1:])
    assert until(lambda: made(folder / "outputs" / "quick") == 1 or process.poll() is not None)
    time.sleep(0.2)
    return process, workers(process.pid)


def test_a_worker_in_a_long_step_dies_with_its_parent(tmp_path):
    process, of = endless(tmp_path)
    try:
        assert of
        process.kill()
        assert gone(of)
    finally:
        end(process)


def test_ctrl_c_twice_leaves_at_once(tmp_path):
    process, of = endless(tmp_path, "executor.leave_seconds=600")
    try:
        assert of
        process.send_signal(signal.SIGINT)
        time.sleep(1)
        assert process.poll() is None, "the worker has not finished its update: it is waited for"
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=30)
        assert gone(of)
    finally:
        end(process)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert made(tmp_path / "outputs" / "quick") == 1, "what was kept before is still there"


def test_who_does_not_leave_in_time_is_ended(tmp_path):
    process, of = endless(tmp_path, "executor.leave_seconds=1")
    try:
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=30)
        assert gone(of)
    finally:
        end(process)
    assert process.returncode == 130, told
    assert "2 of the missing points resume from their checkpoints" in told
