"""What users of Hydra set below `hydra` is carried out, or refused with what does its job here."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

import study
from study.config.hydra_node import check_hydra_node, environment
from study.config.loader import config_loader
from study.hydra_plugins import register
from study.records import StudyError
from tests.launch.test_command_line import TINY
from tests.support.commands import call

CALLBACKS = """
import os
from hydra.experimental.callback import Callback


class Told(Callback):
    def on_multirun_start(self, config, **kwargs):
        print("starts with", os.environ.get("FROM_HYDRA"), config.name)

    def on_multirun_end(self, config, **kwargs):
        print("ends")


class OfJobs(Callback):
    def on_job_start(self, config, **kwargs):
        print("job starts with", os.environ.get("FROM_HYDRA"))

    def on_job_end(self, config, job_return, **kwargs):
        print("job ends", job_return.return_value)

    def on_run_end(self, config, **kwargs):
        print("run ends")


class Later:
    def on_compose_config(self, **kwargs): ...
"""
EXPERIMENT = """# @package _global_
name: mine
hydra:
  callbacks:
    told: {_target_: own_callbacks.Told}
  job:
    env_set: {FROM_HYDRA: hello}
  sweeper:
    params: {cell: [rnn, gru], seed: [0, 1]}
"""
SEARCH = """# @package _global_
defaults:
  - override /hydra/sweeper: optuna
  - override /search: default
name: searched
hydra:
  sweeper:
    params:
      cell: [rnn, gru]
      hidden: int(interval(4,9))
      depth: 1,4
      optimizer.lr: 0.05
"""
LAUNCHED = """# @package _global_
defaults:
  - override /hydra/launcher: NAME
hydra: {sweeper: {params: {seed: '0,1'}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hydra")
    (made / "mine" / "experiment").mkdir(parents=True)
    (made / "mine" / "own_callbacks.py").write_text(CALLBACKS)
    written = {"mine": EXPERIMENT, "searched": SEARCH}
    written |= {name: LAUNCHED.replace("NAME", name) for name in ("joblib", "submitit_slurm")}
    for name, text in written.items():
        (made / "mine" / "experiment" / f"{name}.yaml").write_text(text)
    (made / "other" / "cell").mkdir(parents=True)
    (made / "other" / "cell" / "rectified.yaml").write_text(
        "_target_: study.cells.rnn.RNN\nnonlinearity: relu\n"
    )
    return made


def command(folder: Path, *arguments: str):
    return call(folder, "study", "--config-dir=mine", *TINY, "plan=true", *arguments)


OF_JOBS = "+hydra.callbacks.mine._target_=own_callbacks.OfJobs"
REFUSED = {
    "output_subdir": (("hydra.output_subdir=.hydra",), "must be null, got '.hydra'"),
    "chdir": (("-m", "hydra.job.chdir=true"), "hydra.job.chdir: must be false, got true"),
    "copied environment": (("-m", "hydra.job.env_copy=[NOT_SET]"), "no environment variable 'NOT"),
    "unknown key": (("-m", "hydra.job.env_set.SIZE=3"), "+hydra.job.env_set.SIZE=… adds one"),
    "launcher of an experiment": (("-m", "experiment=joblib"), "use executor=local"),
    "no such launcher": (("-m", "experiment=submitit_slurm"), "use executor=slurm"),
    "nested factors": (
        ("-m", "experiment=mine", "+hydra.sweeper.params.optimizer={lr: [0.1, 0.2]}"),
        "A key below optimizer is written with its dots (optimizer.lr)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_what_does_its_job(folder: Path, name: str):
    arguments, told = REFUSED[name]
    varied = ["seed=0,1"] if "-m" in arguments and "experiment" not in str(arguments) else []
    ran = command(folder, *arguments, *varied)
    assert ran.returncode == 2 and told in ran.stderr, ran.stdout + ran.stderr
    assert {path.name for path in folder.iterdir()} == {"mine", "other"}


WRONG = {
    "run.dir": ("here", "hydra.run.dir: must be '.', got 'here': results and"),
    "sweep.dir": ("here", "hydra.sweep.dir: must be '.', got 'here'"),
    "sweep.subdir": ("x", "a point's folder has its id as its name"),
    "job.name": ("x", "hydra.job.name: must be left out, got 'x': name=…"),
    "job.config.override_dirname.kv_sep": ("_", "override_dirname: must be left out"),
    "job_logging.root": ({"level": "INFO"}, "hydra.job_logging: must be none; log.txt"),
    "job_logging.handlers": ({"file": {}}, "hydra.job_logging: must be none; log.txt"),
    "launcher._target_": ("hydra_plugins.submitit.Slurm", "use executor=slurm"),
    "launcher.n_jobs": (3, "hydra.launcher.n_jobs: there is no such key"),
    "sweeper.n_trials": (3, "is a name of hydra-optuna-sweeper; here it is search.trials"),
    "sweeper.sampler": ({"seed": 1}, "here it is search/sampler=NAME"),
    "sweeper.other": (3, "hydra.sweeper.other: there is no such key"),
    "callbacks.mine": (
        {"_target_": "own_callbacks.OfJobs"},
        "hydra.callbacks.mine: points are trained in groups, not as jobs of Hydra, so on_job_start"
        " and on_job_end would never be called; a tracker",
    ),
    "callbacks.later": ({"_target_": "own_callbacks.Later"}, "never calls on_compose_config"),
    "callbacks.none": ({"_target_": "own_callbacks.No"}, "own_callbacks.No cannot be imported"),
    "job.env_set.SIZE": ("${hidden}", "env_set.SIZE: is the same for all points of a launch"),
}


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    register()
    return config_loader().load_configuration("config", [], run_mode=RunMode.MULTIRUN)


@pytest.mark.parametrize("key", WRONG)
def test_it_is_refused_in_a_multirun(
    folder: Path, composed: DictConfig, monkeypatch: pytest.MonkeyPatch, key: str
):
    value, told = WRONG[key]
    monkeypatch.syspath_prepend(folder / "mine")
    config = copy.deepcopy(composed)
    with open_dict(config.hydra):
        OmegaConf.update(config, f"hydra.{key}", value, force_add=True)
    with pytest.raises(StudyError) as error:
        check_hydra_node(config.hydra, RunMode.MULTIRUN)
        environment(config, RunMode.MULTIRUN)
    assert told in str(error.value)


def test_an_environment_that_cannot_reach_workers_is_refused(composed: DictConfig):
    config = copy.deepcopy(composed)
    OmegaConf.update(config, "hydra.job.env_set.SIZE", "3", force_add=True)
    assert environment(config, RunMode.MULTIRUN) == {"SIZE": "3"}
    OmegaConf.update(config, "executor.address", "host:1", force_add=True)
    with pytest.raises(StudyError, match="workers of a running Ray cluster"):
        environment(config, RunMode.MULTIRUN)


def test_callbacks_and_environment_of_an_experiment(folder: Path):
    ran = command(folder, "-m", "experiment=mine")
    assert ran.returncode == 0, ran.stderr
    told = ran.stdout.splitlines()
    assert (told[0], told[-1]) == ("starts with hello mine", "ends")
    assert "4 points, 0 stored already" in ran.stdout, "lists are levels"
    one = command(folder, OF_JOBS, "+hydra.job.env_set.FROM_HYDRA=hi")
    told = one.stdout.splitlines()
    assert (told[0], told[-2:]) == ("job starts with hi", ["job ends 0", "run ends"]), one.stderr


def test_from_python_what_only_the_command_does_is_refused(folder: Path):
    for experiment, told in (("mine", "hydra.callbacks: is for the command"), ("searched", "optu")):
        with pytest.raises(StudyError, match=told):
            study.plan(experiment, "tracker=[]", config_dirs=[folder / "mine"])


def test_an_experiment_chooses_the_sweeper_and_its_interval_replaces_the_spaces(folder: Path):
    small = ["plan=true", "tracker=[]", "task.form=row", "updates=2"]
    ran = call(folder, "study", "-m", "--config-dir=mine", "experiment=searched", *small)
    assert ran.returncode == 0, ran.stderr
    rows = [line.split("│")[1:4] for line in ran.stdout.splitlines() if "│" in line]
    space = {key.strip(): (values.strip(), default.strip()) for key, values, default in rows}
    assert space["hidden"] == ("4 to 9", "32")
    assert space["optimizer.lr"] == ("0.0003 to 0.03, logarithmic", "0.05")
    assert "depth: search.space is searched, 1 to 2, not the experiment's levels 1,4" in ran.stdout
    assert "2 arms" in ran.stdout


def test_levels_in_hydras_search_path_are_found(folder: Path):
    ran = command(folder, "-m", "hydra.searchpath=[file://other]", "cell=rectified,gru")
    assert ran.returncode == 0 and "rectified, gru" in ran.stdout, ran.stderr
