"""The Python API: what it plans and runs is what the command line plans and runs."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import study
from study.config.paths import config_dirs
from study.records import StudyError
from study.store import Store
from tests import ROOT

SMALL = ("tracker=[]", "updates=4", "validate_every=2", "executor.workers=1")
SCRIPT = """
import study

plan = study.plan("quick", {overrides}, cell=["rnn", "gru"], initializer="normal", seed=range(2))
result = study.run(plan)
assert list(result.points["status"]) == ["done"] * 4 and not result.failed
assert set(result.table("states")["id"]) == {{point.id for point in plan.points}}
result.figure("gradient_flow", cell="gru").savefig("flow.png")
print("page", result.report())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(folder: Path, *arguments: str) -> str:
    """Standard output of a command that must succeed."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_script_without_a_main_guard_runs_once_and_the_command_finds_nothing_to_do(folder: Path):
    (folder / "script.py").write_text(SCRIPT.format(overrides=", ".join(map(repr, SMALL))))
    said = command(folder, "script.py")
    assert said.count("training 4 points") == 1 and "outputs/quick/report.html\n" in said
    assert (folder / "flow.png").stat().st_size > 1000
    assert "gru" in (folder / "outputs/quick/report.html").read_text(encoding="utf-8")
    launch = Store(folder / "outputs/quick").study()["launches"][-1]
    repeated = shlex.split(launch["command"])
    assert repeated[:4] == ["python", "-m", "study", "-m"]
    assert "all 4 points are stored already" in command(folder, *repeated[1:])
    assert len(study.load("outputs/quick").points) == 4


def test_a_plan_is_the_commands_plan_and_prints_as_plan_true_does(folder: Path):
    plan = study.plan("quick", *SMALL, seed=[0, 1], **{"optimizer.lr": [0.01, 0.001]})
    shown = command(folder, *shlex.split(plan.command)[1:], "plan=true")
    assert str(plan).split() == shown.split()
    assert len(plan.points) == 24 and sum(len(group.points) for group in plan.groups) == 24
    assert plan.estimate > 0
    assert not (folder / "outputs").exists(), "planning writes nothing"


def test_one_point_is_planned_as_the_command_without_m_plans_it(folder: Path):
    plan = study.plan(None, *SMALL, cell="gru", seed=3)
    assert [point.labels["cell"] for point in plan.points] == ["gru"]
    assert "-m" not in shlex.split(plan.command)[3:]


def test_pieces_of_your_own_are_found_beside_their_yaml(folder: Path):
    mine = folder / "mine"
    (mine / "cell").mkdir(parents=True)
    (mine / "cell" / "damped.yaml").write_text("_target_: damped.Damped\n")
    (mine / "damped.py").write_text(
        "from study.cells.rnn import RNN\n\n\n"
        "class Damped(RNN):\n"
        "    def __init__(self) -> None:\n"
        "        super().__init__(nonlinearity='tanh')\n"
    )
    try:
        plan = study.plan("quick", *SMALL, cell=["damped", "rnn"], config_dirs=[mine])
        assert {point.labels["cell"] for point in plan.points} == {"damped", "rnn"}
        assert config_dirs(shlex.split(plan.command)) == [str(mine)]
    finally:
        sys.path.remove(str(mine))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: study.plan("nowhere"), "nowhere"),
        (lambda: study.plan("quick", cell=[]), "cell: must not be removed"),
        (lambda: study.plan("quick", cell=["lstn"]), "lstn"),
        (lambda: study.plan("quick", celll="lstm"), "celll"),
        (lambda: study.plan("quick", hidden=-1), "hidden: must be a whole number of at least 1"),
        (lambda: study.plan("quick", config_dirs=["none"]), "there is no folder none"),
        (lambda: study.load("outputs/none"), "no study here"),
        (
            lambda: study.plan("quick", "experiment=digits"),
            "experiment: must be the first argument",
        ),
        (lambda: study.plan(["quick", "digits"]), "experiment: must be the name of one"),
        (lambda: study.plan("quick", "hydra/sweeper=optuna"), "hydra/sweeper: .* full factorial"),
        (
            lambda: study.plan("quick", **{"optimizer.lr": {"a": 1}}),
            "optimizer.lr: must be a value",
        ),
        (lambda: study.plan("quick", "cell=gru("), r"at input 'gru\("),
        (lambda: study.run(study.plan("quick", plan=True)), "plan: must be false"),
    ],
)
def test_what_cannot_be_planned_or_read_gives_one_clear_error(folder: Path, call, message):
    with pytest.raises(StudyError, match=message):
        call()
    assert not (folder / "outputs").exists()


def test_values_keep_their_types_and_odd_names_their_characters(folder: Path):
    odd = "it's a, b = c: \\ 'x' Größe"
    plan = study.plan(
        "quick", *SMALL, seed=np.arange(2), reprobe=np.False_, name="1e3", **{"study.title": odd}
    )
    assert plan.settings.study.title == odd
    assert plan.settings.reprobe is False and plan.name == "1e3"
    assert sorted({point.seed for point in plan.points}) == [0, 1]
    assert study.plan("quick", probe=["transport"], tracker=[]).factors == plan.factors


def test_a_plan_can_be_run_twice_and_from_another_folder(folder: Path, capsys):
    plan = study.plan("quick", *SMALL, cell="rnn", initializer="normal", seed=[1, 0])
    (folder / "elsewhere").mkdir()
    os.chdir(folder / "elsewhere")
    for said in ("training 2 points", "all 2 points are stored already"):
        result = study.run(plan)
        assert said in capsys.readouterr().out
    assert result.folder == folder / "outputs" / "quick" and not list(Path().iterdir())
    os.chdir(folder)
    assert list(result.points["seed"]) == [1, 0], "in the order of the declared grid"


def test_tab_completion_finds_the_names():
    assert {"plan", "run", "load", "StudyError", "gradient_profile", "watch"} <= set(dir(study))
    assert study.StudyError is StudyError
