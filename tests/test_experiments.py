"""Every committed experiment trains for two updates and renders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from study.paths import conf_folder
from study.store import Store

ROOT = Path(__file__).parent.parent
EXPERIMENTS = sorted(path.stem for path in (conf_folder() / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment(tmp_path, experiment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    small = ["updates=2", "hidden=8", "batch=8", "seed=0", "tracker=[]", "health.stages=[0,1]"]
    small += ["task.examples=40"] if experiment in ("adding", "copying", "temporal_order", "length") else []
    small += ["task.steps=30,60"] if experiment == "length" else []
    ran = subprocess.run(
        [sys.executable, "-m", "study", "-m", f"experiment={experiment}", *small], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    points = Store(tmp_path / "outputs" / experiment).points()
    assert len(points) >= 6
    assert points["status"].isin(["done", "diverged"]).all()
    assert points["verdict"].notna().all()
    shown = subprocess.run(
        [sys.executable, "-m", "reports", "render", f"outputs/{experiment}"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "data-broken" not in (tmp_path / "outputs" / experiment / "report.html").read_text(encoding="utf-8")
