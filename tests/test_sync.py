"""Offline runs are uploaded later, once: to a server on loopback, by wandb's own sync, within a
time limit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from study.store import Store
from study.sync import waiting
from tests.support.wandb_stub import KEY, stub
from tests.trackers.test_trackers import NODE, ROOT, log_in_process, offline_runs, write

CUT_SHORT = (
    "W&B: 1 offline run is not complete: the point is in training, or its launch was interrupted;"
    " run the study again to log what is missing\n"
)
NOTHING_MORE = f"W&B: no complete offline runs are waiting\n{CUT_SHORT}"


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two points logged offline; of one, files of a launch before that was cut short lie
    there too, and of a third those only.
    """
    folder = tmp_path_factory.mktemp("sync") / "study"
    Store(folder).declare({"name": "my study", "fingerprint": {}, "declaration": {}}, {})
    write(folder, "p1")
    write(folder, "p2", verdict="shut")
    log_in_process(folder, ["p1", "p2"], {}, NODE)
    run = next(path.parent for path in offline_runs(folder) if "p1" in path.name)
    for id in ("p1", "p3"):
        shutil.copytree(run, folder / "wandb" / f"offline-run-20000101_000000-my-study-{id}")
    return folder


def sync(folder: Path, url: str, *arguments: str, key: str | None = KEY) -> tuple[int, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    home = folder.parent / "home"
    environment = {
        **clean,
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "WANDB_BASE_URL": url,
        **({"WANDB_API_KEY": key} if key else {}),
    }
    done = subprocess.run(
        [sys.executable, "-m", "study.sync", str(folder), *arguments],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_what_is_incomplete_or_older_is_left_out(offline):
    assert sorted(path.folder.name.partition("my-study")[2] for path in waiting(offline)) == [
        "-p1",
        "-p2",
    ]
    assert not any("20000101" in path.folder.name for path in waiting(offline))


@pytest.mark.slow
def test_no_key_and_no_server_are_told_within_the_limit(offline):
    status, told = sync(offline, "http://127.0.0.1:9", key=None)
    assert status == 2 and "no key is configured" in told
    status, told = sync(
        offline, "http://127.0.0.1:9", "--seconds", "3"
    )  # the discard port: nobody listens
    assert status == 1 and "0 runs uploaded, 2 still waiting" in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_every_run_is_sent_once(offline):
    before = len(list((offline.parent / "home").iterdir()))
    with stub() as server:
        status, told = sync(offline, server.url)
        assert (status, told) == (0, f"W&B: 2 runs uploaded, 0 still waiting\n{CUT_SHORT}")
        assert sorted(server.runs) == ["my-study-p1", "my-study-p2"]
        assert [sorted(run["history"]) for run in server.runs.values()] == [[0, 1, 2], [0, 1, 2]]
        sent = len(server.sent)
        assert sync(offline, server.url) == (0, NOTHING_MORE)
        for mark in offline.rglob("*.synced"):
            mark.unlink()  # the study's own notes say so too
        assert sync(offline, server.url) == (0, NOTHING_MORE)
        log_in_process(
            offline,
            ["p1", "p2"],
            {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY},
            {**NODE, "mode": "online"},
        )
        assert len(server.sent) == sent, (
            "neither sync nor a later launch that is online sends it again"
        )
    assert (
        len(
            [
                line
                for line in (offline / "wandb" / "logged.jsonl").read_text().splitlines()
                if line and json.loads(line)[1] == "online"
            ]
        )
        == 2
    )
    assert (
        len([path for path in (offline.parent / "home").iterdir() if not path.name.startswith(".")])
        <= before
    ), "logs are left in the study's folder"


def test_what_is_no_study_is_told(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "none").mkdir()
    status, told = sync(tmp_path / "none", "http://127.0.0.1:9")
    assert status == 2 and told.startswith("error: ") and "no study here" in told
