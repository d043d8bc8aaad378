"""Offline runs, made by the installed wandb without a network, become a study."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import study
from study.store import Store
from tests.adopt.runs import command, page

MAKE = """
import json, os, sys
import wandb
for run in json.loads(sys.argv[1]):
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True)
    with wandb.init(mode="offline", project="p", config=run["config"], settings=settings) as one:
        for step, loss in enumerate(run["losses"]):
            one.log({"train/loss": loss, "val_loss": 1.1 * loss, "val_score": 1 - loss})
        if run["score"] is not None:
            one.summary["test_acc"] = run["score"]
        if run["score"] is None:
            one.finish(exit_code=1)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 cells × 3 seeds in wandb/, the last of which crashed."""
    folder = tmp_path_factory.mktemp("wandb")
    runs = [
        {
            "config": {"model": {"cell": cell, "hidden": 32, "clip": None}, "seed": seed},
            "losses": [1.0, 0.5 - level / 10, 0.4 - level / 10],
            "score": None if cell == "gru" and seed == 2 else 0.5 + level / 10 + seed / 100,
        }
        for level, cell in enumerate(("rnn", "gru"))
        for seed in range(3)
    ]
    # Nothing can be reached: the proxy is nobody's port.
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "WANDB_ERROR_REPORTING": "false",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    subprocess.run(
        [sys.executable, "-c", MAKE, json.dumps(runs)],
        cwd=folder,
        env=environment,
        check=True,
        timeout=120,
        capture_output=True,
    )
    return folder


@pytest.mark.parametrize("place", ["", "wandb"])
def test_a_folder_of_offline_runs_is_adopted(folder: Path, tmp_path: Path, place: str):
    done = command(
        folder,
        place or ".",
        "--name=mine",
        f"--folder={tmp_path}",
        "--score=test_acc",
        "--solved=.5",
    )
    assert done.returncode == 0, done.stderr
    assert "factors found: model.cell" in done.stderr
    result = study.load(tmp_path / "mine")
    points = result.points.set_index(["model.cell", "seed"]).sort_index()
    assert points.loc[("gru", 0), "score"] == pytest.approx(0.6)
    assert points.loc[("gru", 2), "status"] == "failed"
    assert points.loc[("gru", 2), "reason"] == "status crashed"
    assert points.loc[("rnn", 1), "val_score"] == pytest.approx(0.6)
    history = result.table("history")
    assert len(history) == 15  # the crashed one has no result
    assert history["loss"].notna().all()
    assert history["update"].max() == 2
    record = Store(result.folder).study()
    assert record["declaration"]["fixed"] == {"model.hidden": 32, "model.clip": "none"}
    text = page(result.folder)
    assert "6 adopted networks have a result (5 done, 1 failed)" in text


def test_a_truncated_run_is_unfinished(folder: Path, tmp_path: Path):
    """As a process that was killed leaves it: without its last records."""
    (first, *others) = sorted((folder / "wandb").glob("offline-run-*/*.wandb"))
    for number, path in enumerate([first, *others]):
        target = tmp_path / "wandb" / path.parent.name / path.name
        target.parent.mkdir(parents=True)
        data = path.read_bytes()
        # its summary and exit come last; a share of the file may or may not hold them
        target.write_bytes(data if number else data[: data.rfind(b"test_acc") - 8])
    study.adopt(tmp_path / "wandb", name="a", folder=tmp_path, score="test_acc")
    points = study.load(tmp_path / "a").points
    assert points["status"].value_counts().to_dict() == {"done": 4, "failed": 2}
    assert "status unfinished" in points["reason"].tolist()
