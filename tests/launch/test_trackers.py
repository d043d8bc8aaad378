"""Trackers that hang, die or have no room: each is one warning, everything else goes on, and
nothing is left running.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from study.interfaces import Point
from study.launch.trackers import Trackers
from study.machine.orphans import descendants
from study.store import Store
from tests.support.faults import command, end, gone, statuses, until
from tests.support.mounts import tmpfs
from tests.trackers.test_trackers import NODE, write

pytestmark = pytest.mark.slow

IDS = ["p1", "p2", "p3"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    for id in IDS:
        write(tmp_path / "study", id)
    return Store(tmp_path / "study")


def told(
    store: Store, nodes: dict[str, Any], capfd: pytest.CaptureFixture[str], seconds: float = 60.0
) -> str:
    """What the launcher says when its trackers hear of three points; a process each, none of which
    stays.
    """
    trackers = Trackers(nodes, "my study", store.folder, Console(soft_wrap=True), seconds)
    pids = [sink.process.pid for sink in trackers.sinks]
    trackers.send(store, IDS)
    trackers.close()
    assert gone([pid for pid in pids if pid])
    return capfd.readouterr().out


def sink(path: Path, when: str = "never", how: str = "raise") -> dict[str, Any]:
    return {"_target_": "tests.support.faults.Sink", "path": str(path), "when": when, "how": how}


BAD = {
    ("open", "hang"): "no answer for 8 s (store.tracker_seconds)",
    ("log", "die"): "its process died (exit status -9)",
    ("log", "raise"): "OSError: [Errno 28] No space left on device",
}


def test_each_that_fails_is_one_warning_and_the_others_hear_everything(store, tmp_path, capfd):
    bad = {f"{how} at {when}": sink(tmp_path / how, when, how) for when, how in BAD}
    good = sink(tmp_path / "good", "open", "print")
    said = told(store, {**bad, "good": good}, capfd, 8.0).splitlines()
    expected = [
        f"warning: tracker {how} at {when} is switched off, the study continues ({why})"
        for (when, how), why in BAD.items()
    ]
    assert sorted(line for line in said if line.startswith("warning")) == sorted(expected)
    others = [line for line in said if not line.startswith("warning")]
    assert "a word, and a line" in others, "printed by the launch, beside its progress"
    assert [line for line in others if line.startswith("waiting for trackers: hang at open (")]
    assert len(others) == 2
    assert (tmp_path / "good").read_text().split() == IDS
    assert gone([int((tmp_path / "hang.helper").read_text())]), (
        "what it has started is ended with it"
    )


def test_rows_wait_together_while_a_tracker_is_slow_and_end_with_the_point(store, tmp_path, capfd):
    """No message of its own for each; of a tracker that takes none, nothing is kept."""
    write(tmp_path / "study", "p2", status="failed", reason="RuntimeError: jammed")
    live = {"_target_": "tests.support.faults.LiveSink", "path": str(tmp_path / "live"), "rows": 9}
    nodes = {"live": live, "plain": sink(tmp_path / "plain")}
    trackers = Trackers(nodes, "my study", store.folder, Console(soft_wrap=True), 60.0)
    for update in range(300):
        for id in ("p1", "p2"):
            trackers.update(Point(id, {}, {}, seed=0), [{"update": update}])
    trackers.send(store, ["p1", "p2"])
    trackers.close()
    lines = [line.split(" ", 2) for line in (tmp_path / "live").read_text().splitlines()]
    for id in ("p1", "p2"):
        batches = [rest for point, what, *rest in lines if (point, what) == (id, "rows")]
        heard = [int(update) for (batch,) in batches for update in batch.split()]
        assert heard == list(range(300)) and len(batches) < 10
    assert lines[-2:] == [["p1", "stored"], ["p2", "failed", "RuntimeError: jammed"]]
    assert not trackers.sinks[1].rows and (tmp_path / "plain").read_text() == "p1\n"
    assert capfd.readouterr().out == ""


def test_a_launch_that_is_interrupted_does_not_wait_for_what_is_queued(store, tmp_path):
    trackers = Trackers(
        {"slow": sink(tmp_path / "slow")}, "my study", store.folder, Console(), 60.0
    )
    trackers.send(store, IDS * 300)
    trackers.close(now=True)
    heard = (tmp_path / "slow").read_text().split() if (tmp_path / "slow").exists() else []
    assert len(heard) < 900


def test_wandb_that_is_not_installed(store, tmp_path, monkeypatch, capfd):
    (tmp_path / "wandb.py").write_text("raise ModuleNotFoundError(\"No module named 'wandb'\")\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "wandb is switched off, the study continues (StudyError: wandb is not installed" in told(
        store, {"wandb": NODE}, capfd
    )


def test_a_full_disk_under_wandb(store, capfd):
    with tmpfs(store.folder / "wandb", "64k"):
        (store.folder / "wandb" / "filled").write_bytes(b"x" * 60_000)
        said = told(store, {"wandb": NODE}, capfd)
        assert said.count("warning: tracker wandb is switched off, the study continues (") == 1, (
            said
        )
        assert not (store.folder / "wandb" / "logged.jsonl").exists(), (
            "what was not written whole is not noted as logged"
        )


def service(of: int) -> int | None:
    """Process of wandb's own service."""
    for pid in descendants(of):
        try:
            if "wandb-core" in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        except OSError:
            continue
    return None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_wandbs_service_that_is_killed_or_stands_still(store, capfd, number):
    trackers = Trackers({"wandb": NODE}, "my study", store.folder, Console(soft_wrap=True), 12.0)
    (of,) = trackers.sinks
    hit: list[int] = []

    def hit_soon() -> None:
        if pid := until(lambda: service(of.process.pid or 0), 60):
            os.kill(pid, number)
            hit.append(pid)

    thread = threading.Thread(target=hit_soon)
    thread.start()
    trackers.send(store, IDS * 100)
    trackers.close()
    thread.join()
    assert hit and gone(hit)
    assert (
        capfd.readouterr().out.count(
            "warning: tracker wandb is switched off, the study continues ("
        )
        == 1
    )


def test_a_study_whose_wandb_never_starts_is_complete(tmp_path):
    """The real command, where wandb's start-up waits for ever for a service: exit status 0, every
    point, one warning, no child.
    """
    (tmp_path / "wandb.py").write_text(
        "import subprocess\nclass Settings:\n    def __init__(self, **given): pass\n"
        "def setup(settings):\n    subprocess.run(['sleep', '1000'], start_new_session=True)\n"
    )
    arguments = [
        "experiment=quick",
        "cell=rnn",
        "initializer=orthogonal",
        "seed=0,1",
        "updates=2",
        "hidden=4",
        "task.form=row",
        "executor.workers=1",
    ]
    process = command(
        tmp_path,
        "-m",
        "--config-dir",
        str(tmp_path),
        *arguments,
        "probe=[]",
        "store.tracker_seconds=5",
    )
    try:
        service = until(lambda: helper(process), 120)
        said, _ = process.communicate(timeout=120)
    finally:
        end(process)
    assert process.returncode == 0, said
    assert service, said
    assert (
        said.count("warning: tracker wandb is switched off, the study continues (no answer for 5 s")
        == 1
    ), said
    assert list(statuses(Store(tmp_path / "outputs" / "quick")).values()) == ["done", "done"]
    assert gone([service])


def helper(process: subprocess.Popen[str]) -> int | None:
    for pid in descendants(process.pid):
        try:
            if "sleep" in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        except OSError:
            continue
    return None
