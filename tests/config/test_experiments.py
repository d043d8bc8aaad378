"""Every committed experiment trains for two updates and renders."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from reports.__main__ import main as reports
from study.config.paths import conf_folder
from study.interfaces import Executor
from study.launch.run import run
from study.store import Store
from study.training.engine import run_group
from tests import ROOT
from tests.battery.test_battery import planned
from tests.support import data

pytestmark = pytest.mark.slow

EXPERIMENTS = sorted(path.stem for path in (conf_folder() / "experiment").glob("*.yaml"))
COMMANDS = ("length", "quick")  # the others in this process, which is faster
DRAWN = (
    "adding",
    "caption",
    "chrono",
    "clip_rates",
    "copying",
    "forget_bias",
    "identity_adds",
    "moving_digits",
    "noiseless_memory",
    "orthogonal_copies",
    "parity",
    "regularizers",
    "temporal_order",
    "text",
)
# its 120 points of up to 200 steps take a minute
FEWER = {"thresholds": ["cell=rnn", "task=temporal_order"]}
SMALL = ["updates=2", "hidden=8", "batch=8", "tracker=[]", "health.stages=[0,1]"]
# studies of fewer than six arms are trained on two seeds
FEW_ARMS = (
    "chrono",
    "forget_bias",
    "identity_adds",
    "mean_field",
    "orthogonal_copies",
    "regularizers",
)


class Here(Executor):
    """Trains in this process, one group after the other."""

    def run(self, groups, folder):
        for group in groups:
            yield {"event": "stored", "ids": run_group(group, folder, "cpu", lambda update: None)}


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name not in COMMANDS])
def test_experiment_in_this_process(tmp_path, monkeypatch, experiment):
    monkeypatch.chdir(tmp_path)
    # a launch tells what was typed: not pytest's own
    monkeypatch.setattr(sys, "argv", ["study", "-m", f"experiment={experiment}"])
    plan = planned(
        experiment,
        [
            *SMALL,
            "seed=0,1" if experiment in FEW_ARMS else "seed=0",
            *(["task.examples=40"] if experiment in DRAWN else []),
            *FEWER.get(experiment, []),
            *data.overrides(experiment, tmp_path),
        ],
    )
    here = {"_target_": "tests.config.test_experiments.Here"}
    plan = replace(plan, settings=replace(plan.settings, executor=here))
    assert run(plan) == 0
    points = Store(tmp_path / "outputs" / experiment).points()
    assert len(points) >= 6
    assert points["status"].isin(["done", "diverged"]).all()
    assert points["verdict"].notna().all()
    assert reports(["render", f"outputs/{experiment}"]) == 0
    assert "data-broken" not in (tmp_path / "outputs" / experiment / "report.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("experiment", COMMANDS)
def test_experiment(tmp_path, experiment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    small = [*SMALL, "seed=0"]
    small += ["task.examples=40", "task.steps=30,60"] if experiment == "length" else []
    ran = subprocess.run(
        [sys.executable, "-m", "study", "-m", f"experiment={experiment}", *small],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    points = Store(tmp_path / "outputs" / experiment).points()
    assert len(points) >= 6
    assert points["status"].isin(["done", "diverged"]).all()
    assert points["verdict"].notna().all()
    shown = subprocess.run(
        [sys.executable, "-m", "reports", "render", f"outputs/{experiment}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "data-broken" not in (tmp_path / "outputs" / experiment / "report.html").read_text(
        encoding="utf-8"
    )
