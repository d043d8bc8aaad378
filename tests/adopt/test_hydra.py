"""A multirun of Hydra, made by a real process, becomes a study."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import study
from study.records import StudyError
from study.store import Store
from tests.adopt.runs import command, page

SCRIPT = """
import json, pathlib
import hydra

@hydra.main(version_base=None, config_path=".", config_name="config")
def main(config):
    score = {"rnn": 0.5, "gru": 0.7}[config.cell] + config.optimizer.lr + config.seed / 100
    folder = pathlib.Path(hydra.core.hydra_config.HydraConfig.get().runtime.output_dir)
    if config.cell == "rnn" and config.seed == 1 and config.optimizer.lr == 0.2:
        return
    results = {"test": {"acc": score}, "val_score": score + 0.01}
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "scores.csv").write_text(f"epoch,acc\\n1,0.1\\n2,{score}\\n")
    (folder / "scores.yaml").write_text(f"acc: {score}\\n")

main()
"""
CONFIG = {"cell": "rnn", "hidden": 32, "seed": 0, "optimizer": {"lr": 0.1, "name": "adam"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hydra")
    (folder / "train.py").write_text(SCRIPT)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    subprocess.run(
        [sys.executable, "train.py", "-m", "cell=rnn,gru", "optimizer.lr=0.1,0.2", "seed=0,1,2"],
        cwd=folder,
        check=True,
        timeout=120,
        capture_output=True,
    )
    return folder


def jobs(folder: Path) -> Path:
    (found,) = (folder / "multirun").glob("*/*")
    return found


def test_a_multirun_is_adopted(folder: Path, tmp_path: Path):
    done = command(
        folder, str(jobs(folder)), "--name=mine", f"--folder={tmp_path}", "--score=test.acc"
    )
    assert done.returncode == 0, done.stderr
    assert "results are those of results.json in each job's folder" in done.stderr
    assert "factors found: cell, optimizer.lr" in done.stderr
    points = study.load(tmp_path / "mine").points.set_index(["cell", "optimizer.lr", "seed"])
    assert points.loc[("gru", 0.2, 2), "score"] == pytest.approx(0.92)
    assert points.loc[("gru", 0.2, 2), "val_score"] == pytest.approx(0.93)
    assert points.loc[("rnn", 0.2, 1), "reason"] == "wrote no results.json"
    assert len(points) == 12
    record = Store(tmp_path / "mine").study()
    assert record["launches"][0]["adopted"]["kind"] == "Hydra"
    assert "gru · learning rate 0.2 (by validation score): mean test" in page(tmp_path / "mine")


@pytest.mark.parametrize("name", ["scores.csv", "scores.yaml"])
def test_the_file_of_results_can_be_named(folder: Path, tmp_path: Path, name: str):
    result = study.adopt(
        folder / "multirun", name="mine", folder=tmp_path, score="acc", results=name
    )
    points = result.points.set_index(["cell", "optimizer.lr", "seed"])
    assert points.loc[("gru", 0.2, 2), "score"] == pytest.approx(0.92)


def test_a_setting_that_no_override_names_can_be_a_factor(folder: Path, tmp_path: Path):
    with pytest.raises(StudyError, match=r"all 12 runs are of one arm \(hidden 32\)"):
        study.adopt(
            folder / "multirun", name="a", folder=tmp_path, score="test.acc", factors=["hidden"]
        )


def test_a_multirun_without_results_is_refused(folder: Path, tmp_path: Path):
    other = tmp_path / "multirun"
    shutil.copytree(folder / "multirun", other)
    for path in [*other.rglob("results.json")]:
        path.unlink()
    best = jobs(tmp_path) / "optimization_results.yaml"
    best.write_text("name: optuna\nbest_value: 0.9\n")
    with pytest.raises(StudyError, match=r"beside them has the best one's score alone\. Name the"):
        study.adopt(other, name="a", folder=tmp_path, score="acc")
    with pytest.raises(StudyError, match=r"none of its 12 jobs has a file none\.json"):
        study.adopt(other, name="a", folder=tmp_path, score="acc", results="none.json")
