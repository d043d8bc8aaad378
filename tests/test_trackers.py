"""W&B for real: written offline, read back with its own reader, uploaded to a server on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from study.launcher import Trackers
from study.pieces import build
from study.records import StudyError
from study.store import PointRecord, Store
from study.trackers.wandb import run_id
from tests.wandb_stub import KEY, Stub, stub

ROOT = Path(__file__).parent.parent
NODE = {"_target_": "study.trackers.wandb.Wandb", "mode": "offline", "project": "rnn-gradient-study", "entity": None}
WANDB = str(Path(sys.executable).with_name("wandb"))


def write(folder: Path, id: str, **row: Any) -> Store:
    store = Store(folder)
    store.write(
        PointRecord(
            id=id,
            row={"id": id, "cell": "lstm", "status": "done", "score": 0.75, "verdict": "opens", "outcome": "solved", "max_grad_norm": float("inf"), **row},
            labels={"cell": "lstm", "initializer": "orthogonal", "clip": "norm", "depth": 1, "optimizer.lr": 0.004, "seed": 3},
            config="cell: lstm\n",
            overrides=["cell=lstm"],
            provenance={},
            tables={"history": {"update": [0, 1, 2], "loss": [2.5, float("nan"), None], "grad_norm": [1.0, float("inf"), None], "val_loss": [2.0, None, 1.5]}},
            weights={"bias": np.zeros(2)},
        )
    )
    return store


def log_in_process(folder: Path, ids: list[str], environment: dict[str, str], node: dict[str, Any]) -> str:
    """Log points as the launcher does, in a process of its own (wandb keeps state in its process)."""
    code = (
        "import sys, json; from pathlib import Path; from rich.console import Console; from study.launcher import Trackers; from study.store import Store\n"
        "folder, ids, node = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])\n"
        "trackers = Trackers({'wandb': node}, 'my study', folder, Console(soft_wrap=True)); trackers.hear(Store(folder), ids); trackers.close()\n"
    )
    clean = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), json.dumps(ids), json.dumps(node)],
        cwd=ROOT, env={**clean, "HOME": str(home), **environment}, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout + done.stderr


def offline_runs(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("offline-run-*/*.wandb"))


def sync(run: Path, server: Stub) -> None:
    environment = {**os.environ, "WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}
    subprocess.run([WANDB, "sync", str(run.parent)], env=environment, capture_output=True, text=True, timeout=60, check=True)


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked") / "study"
    write(folder, "p1")
    write(folder, "p2", verdict="shut")
    return folder, log_in_process(folder, ["p1", "p2"], {}, {**NODE, "mode": "auto"})


def test_without_a_key_auto_is_offline_and_says_so_in_one_line(offline):
    folder, told = offline
    assert told == "W&B: offline (mode=auto, no key is configured), project rnn-gradient-study, group my study\n"
    assert len(offline_runs(folder)) == 2


def test_wandbs_own_reader_finds_the_run(offline):
    run = next(path for path in offline_runs(offline[0]) if "p1" in path.name)
    read = json.loads(
        subprocess.run([WANDB, "leet", "inspect", "--summary", "--json", str(run)], capture_output=True, text=True, timeout=60, check=True).stdout
    )
    assert read["run_id"] == "my-study-p1"
    assert read["state"] == "finished"
    assert read["config"]["optimizer.lr"] == 0.004
    assert read["config"]["cell"] == "lstm"
    assert set(read["tags"]) == {"opens", "solved"}
    assert read["summary"]["score"] == 0.75
    assert read["summary"]["verdict"] == "opens"
    whole = subprocess.run([WANDB, "leet", "inspect", "--json", str(run)], capture_output=True, text=True, timeout=60, check=True).stdout
    assert '"run_group":"my study"' in whole
    assert '"val_loss"' in whole
    assert os.uname().nodename not in json.loads(whole.splitlines()[1])["run"].get("host", "")


def test_a_second_launch_logs_nothing_twice(offline):
    folder, _ = offline
    before = offline_runs(folder)
    log_in_process(folder, ["p1", "p2"], {}, NODE)
    assert offline_runs(folder) == before


def test_sync_uploads_and_a_second_sync_updates_the_same_run(offline):
    run = next(path for path in offline_runs(offline[0]) if "p1" in path.name)
    with stub() as server:
        sync(run, server)
        first = server.run("my-study-p1")
        assert list(server.runs) == ["my-study-p1"]
        assert any(upsert.get("groupName") == "my study" for upsert in first["upserts"])
        assert json.loads(first["upserts"][-1]["config"])["cell"] == {"value": "lstm"}
        assert sorted(first["history"]) == [0, 1, 2]
        assert first["history"][2]["val_loss"] == 1.5
        assert first["summary"]["score"] == 0.75
        for mark in run.parent.parent.rglob("*.synced"):
            mark.unlink()
        sync(run, server)
        assert list(server.runs) == ["my-study-p1"], "updated, not doubled"
        assert sorted(first["history"]) == [0, 1, 2]


def test_with_a_key_auto_is_online(tmp_path):
    write(tmp_path / "study", "p1")
    with stub() as server:
        told = log_in_process(tmp_path / "study", ["p1"], {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY}, {**NODE, "mode": "auto"})
        assert "W&B: online (mode=auto, a key is configured)" in told
        run = server.run("my-study-p1")
        assert run["summary"]["score"] == 0.75
        assert sorted(run["history"]) == [0, 1, 2]


@pytest.mark.parametrize("trouble", ["missing", "disk"])
def test_a_tracker_that_fails_is_one_warning(tmp_path, monkeypatch, capsys, trouble):
    store = write(tmp_path / "study", "p1")
    if trouble == "missing":
        monkeypatch.setitem(sys.modules, "wandb", None)
    else:
        (tmp_path / "study" / "wandb").write_text("a file where the folder should be")
    trackers = Trackers({"wandb": NODE}, "my study", store.folder, Console(soft_wrap=True))
    trackers.hear(store, ["p1", "p1"])
    trackers.close()
    told = capsys.readouterr().out
    assert told.count("warning: tracker wandb is switched off, the study goes on") == 1
    assert ("wandb is not installed" in told) == (trouble == "missing")


def test_a_ledger_cut_short_is_read_as_far_as_it_goes(tmp_path):
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "logged.jsonl").write_text('["my-study-p1", "offline"]\n["my-stu')
    tracker = build(NODE, "tracker.wandb")
    tracker.open("my study", tmp_path)
    assert tracker.logged == {("my-study-p1", "offline")}


def test_a_mode_that_is_none_is_refused():
    with pytest.raises(StudyError, match=r"tracker\.wandb: mode must be auto or online or offline, got 'maybe'"):
        build({**NODE, "mode": "maybe"}, "tracker.wandb")


def test_ids_hold_what_wandb_allows():
    assert run_id("a/b c:ü", "0f") == "a-b-c---0f"
    assert len(run_id("x" * 300, "0" * 16)) <= 128
