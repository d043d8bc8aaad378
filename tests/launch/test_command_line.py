"""The command: what it plans, runs and refuses; mostly in this process, which is faster.

Each refusal is one clear message and changes nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from reports.__main__ import main as report
from study.__main__ import main
from study.config.paths import config_dirs
from study.store import Store
from tests import ROOT
from tests.support import pages
from tests.support.commands import call

TINY = ["updates=2", "hidden=4", "batch=8", "task.form=row", "tracker=[]", "executor.workers=1"]


def study(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in this process."""
    return call(folder, "study", *arguments)


def real_study(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "study", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small study that has run once."""
    folder = tmp_path_factory.mktemp("small")
    return folder, real_study(
        folder,
        "-m",
        "experiment=quick",
        "cell=rnn,gru",
        "initializer=orthogonal",
        "seed=0,1",
        *TINY,
    )


def test_a_study_runs_and_leaves_only_its_folder(small):
    folder, ran = small
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [path.name for path in folder.iterdir()] == ["outputs"]
    store = Store(folder / "outputs" / "quick")
    table = pd.read_parquet(store.folder / "points.parquet")
    assert sorted(zip(table["cell"], table["seed"], strict=True)) == [
        ("gru", 0),
        ("gru", 1),
        ("rnn", 0),
        ("rnn", 1),
    ]
    assert (table["status"] == "done").all()
    declared = store.study()["declaration"]
    assert declared["factors"] == {"cell": ["rnn", "gru"]}
    assert declared["seeds"] == [0, 1]
    assert declared["fixed"]["initializer"] == "orthogonal"
    assert {point["id"] for point in declared["grid"]} == set(store.ids())
    assert "4 done of 4 points" in ran.stdout
    assert "python -m reports render" in ran.stdout
    text = (store.folder / "study.json").read_text() + "".join(
        p.read_text() for p in store.folder.rglob("result.json")
    )
    assert str(folder) not in text
    assert os.uname().nodename not in text


def test_running_again_trains_nothing_and_says_so(small):
    folder, _ = small
    kept = [*folder.rglob("result.json"), *folder.rglob("study.json")]
    times = {path: path.stat().st_mtime_ns for path in kept}
    again = study(
        folder,
        "-m",
        "experiment=quick",
        "initializer=orthogonal",
        "seed=0,1",
        "cell=rnn,gru",
        *TINY,
    )
    assert again.returncode == 0
    assert "all 4 points are stored already; nothing to train" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in kept} == times


def test_adding_a_level_trains_only_the_new_points(small):
    folder, _ = small
    more = study(
        folder,
        "-m",
        "experiment=quick",
        "initializer=orthogonal",
        "seed=0,1",
        "cell=gru,rnn,rnn_relu",
        *TINY,
    )
    assert "training 2 points in 1 groups, 4 stored already" in more.stdout
    assert "note:" not in more.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["cell=gru,rnn", "seed=0"], "4 points (seed 1; cell rnn_relu)"),
        (["cell=gru,rnn,rnn_relu", "seed=0,1", "updates=3"], "6 points (updates 2)"),
        (
            ["cell=rnn,gru", "seed=0,1", "clip.threshold=3"],
            "6 points (cell rnn_relu; clip.threshold 1.0)",
        ),
        (["cell=rnn,gru,rnn_relu", "clip.threshold=3"], "6 points (clip.threshold 1.0)"),
    ],
)
def test_a_smaller_launch_says_what_of_the_stored_study_it_leaves_out(small, arguments, told):
    folder, _ = small
    plan = ["-m", "experiment=quick", "initializer=orthogonal", "plan=true", *TINY, *arguments]
    planned = study(folder, *plan).stdout
    assert f"note: outputs/quick also holds {told} of earlier launches" in planned, planned


def test_plan_says_what_would_run_and_writes_nothing(tmp_path):
    planned = study(
        tmp_path, "-m", "experiment=digits", "cell=lstm,gru", "depth=1,2,4", "plan=true"
    )
    assert planned.returncode == 0, planned.stderr
    assert "108 points, 0 stored already, 108 to train" in planned.stdout
    assert "lstm, gru" in planned.stdout
    assert "1, 2, 4" in planned.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_single_point_runs_through_the_same_engine(tmp_path, small):
    ran = study(tmp_path, "name=one", "cell=gru", "initializer=orthogonal", "seed=1", *TINY)
    assert ran.returncode == 0, ran.stderr
    (id,) = Store(tmp_path / "outputs" / "one").ids()
    other = Store(small[0] / "outputs" / "quick")
    assert id in other.ids(), "a point's id does not depend on the study"
    same = Store(tmp_path / "outputs" / "one")
    pd.testing.assert_frame_equal(
        same.table("history", [id]), other.table("history", [id]), check_exact=True
    )


def test_exclusions_and_arms(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nname: mine\nstudy:\n  exclude:\n    - {when: {cell: lstm,"
        " initializer: identity}, why: made for ReLU}\n  arms:\n    - {when: {cell: rnn}, set:"
        " {optimizer.lr: 0.5, hidden: 6}}\nhydra:\n  sweeper:\n    params: {cell: 'rnn,lstm',"
        " initializer: 'orthogonal,identity', seed: '0,1'}\n"
    )
    run = tmp_path / "run"
    run.mkdir()
    ran = study(
        run,
        "-m",
        "--config-dir",
        str(tmp_path),
        "experiment=mine",
        *[one for one in TINY if not one.startswith("hidden")],
    )
    assert ran.returncode == 0, ran.stderr
    store = Store(run / "outputs" / "mine")
    assert store.study()["declaration"]["excluded"] == [
        {"labels": {"cell": "lstm", "initializer": "identity"}, "why": "made for ReLU"}
    ]
    points = store.points()
    assert len(points) == 6
    assert set(points.loc[points["cell"] == "rnn", "hidden"]) == {6}
    assert set(points.loc[points["cell"] == "lstm", "hidden"]) == {32}
    assert (
        "lr: 0.5"
        in (
            store.point_folder(points.loc[points["cell"] == "rnn", "id"].iloc[0]) / "config.yaml"
        ).read_text()
    )


def test_folders_are_read_from_any_command_line():
    """Also from an empty one: python -m study alone trains one point."""
    assert config_dirs([]) == []
    assert config_dirs(
        ["-m", "--config-dir", "one", "--config-dir=other", "cell=gru", "--config-dir"]
    ) == ["one", "other"]


def test_a_piece_from_outside_the_repository(tmp_path):
    """Overrides stand on both sides of --config-dir, as make sweep ARGS="--config-dir FOLDER
    seed=0" puts them.
    """
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell" / "leaky.yaml").write_text("_target_: cells_of_mine.Leaky\na: 0.1\n")
    section = pages.section("study/README.md", "Add a piece")
    (tmp_path / "cells_of_mine.py").write_text(section.split("```python\n")[1].split("```")[0])
    ran = real_study(
        tmp_path,
        "-m",
        "experiment=quick",
        "cell=rnn,leaky",
        "--config-dir",
        str(tmp_path),
        "initializer=orthogonal",
        "seed=0",
        *TINY,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert set(Store(tmp_path / "outputs" / "quick").points()["cell"]) == {"rnn", "leaky"}


def test_a_piece_that_raises_fails_its_points_and_no_others(tmp_path, capsys):
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell" / "broken.yaml").write_text("_target_: broken_cell.Broken\n")
    (tmp_path / "broken_cell.py").write_text(
        "import multiprocessing\nfrom study.cells.lstm import LSTM\nclass Broken(LSTM):\n    def"
        " step(self, params, x, state):\n        if multiprocessing.parent_process():\n           "
        " raise RuntimeError('gate jammed')\n        return super().step(params, x, state)\n"
    )
    ran = study(
        tmp_path,
        "-m",
        "--config-dir",
        str(tmp_path),
        "experiment=quick",
        "cell=rnn,broken",
        "initializer=orthogonal",
        "seed=0",
        *TINY,
    )
    assert ran.returncode == 1
    assert "1 done, 1 failed of 2 points" in ran.stdout
    assert "gate jammed" in ran.stdout
    points = Store(tmp_path / "outputs" / "quick").points().set_index("cell")
    assert points.loc["rnn", "status"] == "done"
    assert points.loc["broken", "reason"] == "RuntimeError: gate jammed"
    failure = Store(tmp_path / "outputs" / "quick").result(points.loc["broken", "id"])["failure"]
    assert "broken_cell.py" in failure["traceback"]
    assert str(tmp_path) not in failure["traceback"]
    report(["status", str(tmp_path / "outputs" / "quick")])
    assert "broken_cell.py, line 6" in capsys.readouterr().out


def test_a_worker_that_is_killed_fails_its_points_and_no_others(tmp_path):
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell" / "deadly.yaml").write_text("_target_: deadly_cell.Deadly\n")
    (tmp_path / "deadly_cell.py").write_text(
        "import multiprocessing, os, signal\nfrom study.cells.lstm import LSTM\nclass"
        " Deadly(LSTM):\n    def step(self, params, x, state):\n        if"
        " multiprocessing.parent_process():\n            os.kill(os.getpid(), signal.SIGKILL)\n    "
        "    return super().step(params, x, state)\n"
    )
    ran = real_study(
        tmp_path,
        "-m",
        "--config-dir",
        str(tmp_path),
        "experiment=quick",
        "cell=deadly,rnn",
        "initializer=orthogonal",
        "seed=0",
        *TINY,
    )
    assert ran.returncode == 1, ran.stderr
    points = Store(tmp_path / "outputs" / "quick").points().set_index("cell")
    assert points.loc["rnn", "status"] == "done"
    assert "SIGKILL" in points.loc["deadly", "reason"]


def test_a_tracker_whose_package_is_missing_is_told_once_and_left_out(tmp_path):
    (tmp_path / "tracker").mkdir()
    (tmp_path / "tracker" / "mine.yaml").write_text(
        "# @package tracker.mine\n_target_: my_tracker.Mine\n"
    )
    (tmp_path / "my_tracker.py").write_text("import a_package_that_nobody_has\nclass Mine: ...\n")
    tiny = [one for one in TINY if not one.startswith("tracker")]
    ran = study(
        tmp_path, "--config-dir", str(tmp_path), "tracker=[mine]", "name=told", "cell=rnn", *tiny
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("warning: tracker mine is switched off, the study continues") == 1
    assert "a_package_that_nobody_has" in ran.stdout
    assert len(Store(tmp_path / "outputs" / "told").ids()) == 1


def test_hydras_own_sweeper_runs_the_same_study(tmp_path, small):
    factors = ["cell=rnn,gru", "seed=0,1", "initializer=orthogonal"]
    basic = ["hydra/sweeper=basic", "hydra.sweeper.max_batch_size=3"]  # two batches, one study
    ran = study(tmp_path, "-m", "experiment=quick", *basic, *factors, *TINY)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    ours, theirs = (Store(folder / "outputs" / "quick") for folder in (small[0], tmp_path))
    assert theirs.study()["declaration"]["factors"] == {"cell": ["rnn", "gru"]}
    assert len(theirs.ids()) == 4
    assert set(theirs.ids()) <= set(ours.ids())


REFUSED = [
    (["experiment=quick", "cell=rnn,elman"], ["cell/elman", "gru_reset_after"]),
    (["experiment=quick", "hidden=0"], ["hidden: must be a whole number of at least 1, got 0"]),
    (["experiment=quick", "depth=1,-2"], ["depth: must be a whole number of at least 1, got -2"]),
    (
        ["experiment=quick", "clip.threshold=0"],
        ["clip: norm: threshold must be greater than 0, got 0"],
    ),
    (
        ["experiment=quick", "optimizer.lr=0.1,-1"],
        ["optimizer: adam: lr must be greater than 0, got -1"],
    ),
    (["experiment=quick", "seed=0,one"], ["seed", "one", "Integer"]),
    (["experiment=quick", "seed=0,1.5"], ["seed", "1.5", "Integer"]),
    (["experiment=quick", "hiden=3"], ["hiden"]),
    (["experiment=quick", "hiden=3,4"], ["hiden: there is no such key"]),
    (["experiment=quick", "search.trials=4"], ["search.trials", "such as search=default"]),
    (["experiment=quick", "search/sampler=qmc"], ["search/sampler", "such as search=default"]),
    (
        ["experiment=quick", "initializer=normal", "initializer.std=small"],
        ["initializer: std must be auto or a number, got 'small'"],
    ),
    (
        ["experiment=quick", "initializer=orthogonal,normal", "initializer.std=.01,.1"],
        ["initializer.std: level orthogonal of initializer has no such setting"],
    ),
    (
        ["experiment=quick", "task.lag=9"],
        ["task: lag must be at most the sequence's 8 steps, got 9"],
    ),
    (["cell=lstm"], ["nothing varies", "One point is trained without -m"]),
    (["experiment=quick", "cell=3"], ["a group takes the name of a level", "not a number"]),
    (["experiment=quick", "executor=3"], ["a group takes the name of a level", "not a number"]),
    (["experiment=quick", "tracker=3"], ["a group takes the name of a level", "not a number"]),
    (
        ["experiment=quick", "initializer=orthogonal,identity", "initializer.std=.1"],
        ["initializer.std: there is no such key", "initializer/NAME.yaml"],
    ),
    (
        ["experiment=quick", "hydra.sweeper.params=3"],
        ["hydra.sweeper.params: must be {key: values}"],
    ),
    (
        ["--config-dir=broken", "experiment=quick", "cell=broken"],
        ["not readable as YAML", "cell/broken.yaml"],
    ),
    (["experiment=nothing"], ["experiment/nothing", "quick"]),
    (["experiment=quick", "task=csv"], ["task.path, task.target: has no default; give it a value"]),
    (["experiment=quick,adding"], ["one study per launch"]),
    (["experiment=quick", "store.folder=file/below"], ["cannot write here"]),
    (["experiment=quick", "name=thesis"], ["thesis: holds files but no study.json"]),
    (
        ["experiment=quick", "name=other"],
        ["other: belongs to another study", "experiment: stored 'adding', now 'quick'"],
    ),
    (["experiment=quick", "~name"], ["name: must not be removed"]),
    (["experiment=quick", "~depth", "~batch"], ["depth, batch: must not be removed"]),
    (
        ["experiment=quick", "seed=range(10000000000)"],
        ["seed: 10,000,000,000 values are more than a study can have (1,000,000)"],
    ),
    (
        ["experiment=quick", "seed=range(2000)", "optimizer.lr=range(1,2000)"],
        ["combinations are more than a study can have (1,000,000)"],
    ),
    (["experiment=quick", "seed=range(0,9,0)"], ["the step not 0"]),
    (
        ["experiment=quick", "store.tracker_seconds=0"],
        ["store.tracker_seconds: must be greater than 0, got 0"],
    ),
    (
        ["--config-dir=broken", "experiment=bytes"],
        ["the configuration cannot be composed: UnicodeDecodeError"],
    ),
    (
        ["--config-dir=broken", "experiment=number"],
        [
            "the configuration cannot be composed: ValueError: Unsupported item value in defaults :"
            " float"
        ],
    ),
    (["experiment=quick", "name=../up"], ["name: must be the name of one folder"]),
    (["experiment=quick", "seed=0,0"], ["same configuration"]),
    (["experiment=quick", "hidden=interval(4,8)"], ["intervals are for searches"]),
    (["experiment=quick", "readout=every"], ["readout: the task's loss is on the last step"]),
    (
        ["experiment=quick", "tracker.wandb.mode=sometimes", "tracker=[wandb]"],
        ["tracker.wandb", "mode must be auto or online or offline"],
    ),
    (["experiment=quick", "++hydra.output_subdir="], ["hydra.output_subdir: must be null, got ''"]),
    (
        ["experiment=quick", "executor.workers=0"],
        ["executor: local: workers must be auto or at least 1"],
    ),
]


@pytest.fixture(scope="module")
def precious(tmp_path_factory):
    """A folder with things that must not be written over."""
    folder = tmp_path_factory.mktemp("precious")
    (folder / "outputs" / "thesis").mkdir(parents=True)
    (folder / "outputs" / "thesis" / "thesis.tex").write_text("years of work")
    (folder / "outputs" / "other").mkdir()
    fingerprint = {"experiment": "adding", "numerics": 1, "tasks": {"adding": "x"}}
    (folder / "outputs" / "other" / "study.json").write_text(
        json.dumps({"schema": 1, "fingerprint": fingerprint, "launches": []})
    )
    (folder / "file").write_text("not a folder")
    (folder / "broken" / "cell").mkdir(parents=True)
    (folder / "broken" / "experiment").mkdir()
    (folder / "broken" / "experiment" / "bytes.yaml").write_bytes(
        b"# @package _global_\nname: \xc3\x28\n"
    )
    (folder / "broken" / "experiment" / "number.yaml").write_text(
        "# @package _global_\ndefaults: [{override /cell: 1.5}]\n"
    )
    (folder / "broken" / "cell" / "broken.yaml").write_text(
        "_target_: study.cells.lstm.LSTM\n a: [1\n"
    )
    return folder


def command(arguments: list[str]) -> list[str]:
    typed = {argument.split("=")[0] for argument in arguments}
    # argparse wants them before the overrides
    options = [argument for argument in arguments if argument.startswith("--")]
    arguments = [argument for argument in arguments if argument not in options]
    return ["-m", *options, *(one for one in TINY if one.split("=")[0] not in typed), *arguments]


@pytest.mark.parametrize(
    ("arguments", "told"),
    REFUSED,
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_refused(precious, arguments, told, monkeypatch, capsys):
    """The entry point in this process: importing torch anew for each of them would take minutes."""
    before = {path: path.read_bytes() for path in precious.rglob("*") if path.is_file()}
    monkeypatch.chdir(precious)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "study" / "__main__.py"), *command(arguments)])
    with pytest.raises(SystemExit) as exit:
        main()
    out, err = capsys.readouterr()
    assert exit.value.code == 2, out + err
    for part in told:
        assert part in err, err
    assert "Traceback" not in err + out
    assert {path: path.read_bytes() for path in precious.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "case", [("experiment=quick", "hiden=3"), ("experiment=quick", "clip.threshold=0")]
)
def test_bad_input_is_refused_by_the_real_command(precious, case):
    """One that Hydra refuses, one that we do."""
    ran = real_study(precious, *command(list(case)))
    assert ran.returncode == 2
    assert case[1].split("=")[0].split(".")[0] in ran.stderr
    assert "Traceback" not in ran.stderr + ran.stdout


def test_hydras_own_options_work(tmp_path):
    shown = study(tmp_path, "--cfg", "job", "cell=gru")
    assert shown.returncode == 0
    assert "study.cells.gru.GRU" in shown.stdout
    helped = study(tmp_path, "--help")
    assert "  quick              A small study to try everything" in helped.stdout
    assert study(tmp_path, "--hydra-help").stdout.startswith("Hydra (")
    assert list(tmp_path.iterdir()) == []
