"""The fast factorial equals Hydra's own composition, and a thousand points are planned with every one checked."""

from __future__ import annotations

import itertools

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from omegaconf import OmegaConf

from study.composition import Declared, compose_all, declared
from study.paths import conf_folder
from study.planning import make_plan
from study.plugins import register
from study.records import StudyError


@pytest.fixture(scope="module")
def loader():
    register()
    return ConfigLoaderImpl(create_config_search_path(str(conf_folder().resolve())))


def by_hydra(loader, overrides: list[str]) -> dict:
    config = loader.load_configuration("config", overrides, run_mode=RunMode.RUN)
    return OmegaConf.to_container(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]), resolve=True)


def made(loader, params: dict[str, str], arguments: list[str]):
    of = declared(loader, params, arguments)
    return of, compose_all(loader, "config", of)


@pytest.mark.parametrize(
    ("params", "arguments"),
    [
        ({"cell": "rnn,gru", "depth": "1,2", "optimizer.lr": "0.001,0.004", "seed": "range(3)"}, ["experiment=digits"]),
        ({"task": "adding,copying", "hidden": "8,16"}, ["updates=7", "weights.forget_bias=0,1"]),
        ({"initializer": "normal", "initializer.std": "auto,0.1"}, ["clip=value,norm", "clip.threshold=1"]),
        ({}, ["+study.note=a,b", "dropout=0,0.5", "cell=glob(*gru*)"]),
        ({"cell": "rnn,gru", "seed": "0,1,2"}, ["task.split_seed=${seed}"]),
        ({"tracker": "choice([],[wandb])"}, ["health.fading=-2,-1", "seed=0,1"]),
    ],
)
def test_fast_composition_equals_hydras(loader, params, arguments):
    of, combinations = made(loader, params, arguments)
    expected = [
        by_hydra(loader, [*of.fixed, *(f"{key}={value}" for key, value in zip(of.factors, values, strict=True))])
        for values in itertools.product(*of.factors.values())
    ]
    assert [dict(combination.config) for combination in combinations] == expected
    assert len(expected) > 1


def test_the_command_line_replaces_factors_key_by_key(loader):
    of, combinations = made(loader, {"cell": "rnn,lstm", "depth": "1,2", "seed": "0,1"}, ["depth=4", "cell=gru,lstm", "clip=none,norm"])
    assert dict(of.factors) == {"cell": ["gru", "lstm"], "seed": ["0", "1"], "clip": ["none", "norm"]}
    assert of.fixed == ["depth=4"]
    assert {combination.labels["depth"] for combination in combinations} == {4}
    assert [combination.labels["cell"] for combination in combinations] == ["gru"] * 4 + ["lstm"] * 4


def test_a_thousand_points_are_planned(loader):
    params = {"cell": "rnn,lstm,gru", "initializer": "orthogonal,normal", "clip": "none,norm", "optimizer.lr": "0.001,0.002,0.004", "seed": "range(28)"}
    of, combinations = made(loader, params, ["experiment=digits"])
    plan = make_plan(combinations, of, "digits")
    groups = plan.groups(2, 16)
    assert len(plan.points) == 1008
    assert sum(len(group.points) for group in groups) == 1008


def test_arms_are_applied_to_their_combinations_only(loader):
    _, combinations = made(
        loader, {"cell": "rnn,gru", "initializer": "orthogonal,normal"}, ["study.arms=[{when:{cell:gru,initializer:normal},set:{optimizer.lr:0.1,hidden:5}}]"]
    )
    found = {(c.labels["cell"], c.labels["initializer"]): (c.config["optimizer"]["lr"], c.config["hidden"]) for c in combinations}
    assert found.pop(("gru", "normal")) == (0.1, 5)
    assert set(found.values()) == {(0.004, 32)}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["study.arms=[{when:{cel:gru},set:{hidden:5}}]"], "when names 'cel'"), (["study.arms=[{set:{hidden:5}}]"], "needs when"),
     (["study.arms=[{when:{cell:gru},set:{hiden:5}}]"], "hiden: there is no such key"), (["study.arms=[{when:{cell:gru},set:{hidden:many}}]"], "hidden:")],
)  # fmt: skip
def test_mistaken_arms_are_told(loader, arguments, told):
    with pytest.raises(StudyError) as error:
        made(loader, {"cell": "rnn,gru"}, arguments)
    assert told in str(error.value)


def test_excluding_everything_is_told(loader):
    of, combinations = made(loader, {"cell": "rnn,gru"}, ["study.exclude=[{when:{depth:1},why:no}]"])
    with pytest.raises(StudyError, match="leaves no combination"):
        make_plan(combinations, of, None)


def test_another_sweepers_jobs_run_as_one_study(loader):
    """hydra/sweeper=basic hands all its jobs to our launcher at once."""
    assert Declared(factors={}, fixed=[]).factors == {}
    config = loader.load_configuration("config", ["hydra/sweeper=basic"], run_mode=RunMode.MULTIRUN)
    assert config.hydra.launcher._target_.endswith("StudyLauncher")
