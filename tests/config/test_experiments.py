"""Every committed experiment trains for two updates and renders, all in this process."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from reports.__main__ import main as reports
from study.config.paths import conf_folder
from study.interfaces import Executor
from study.launch.run import run
from study.store import Store
from study.training.engine import run_group
from tests.battery.test_battery import planned
from tests.support import data

pytestmark = pytest.mark.slow

EXPERIMENTS = sorted(path.stem for path in (conf_folder() / "experiment").glob("*.yaml"))
DRAWN = (
    "adding",
    "caption",
    "chrono",
    "clip_rates",
    "copying",
    "forget_bias",
    "graph",
    "identity_adds",
    "moving_digits",
    "noiseless_memory",
    "orthogonal_copies",
    "parity",
    "recall",
    "regularizers",
    "temporal_order",
    "text",
)
FEWER = {
    "length": ["task.examples=40", "task.steps=30,60"],
    "recall": ["task.pairs=2,3"],
    # its 120 points of up to 200 steps take a minute
    "thresholds": ["cell=rnn", "task=temporal_order"],
}
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


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment(tmp_path, monkeypatch, experiment):
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
