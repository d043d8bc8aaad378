"""The fast factorial equals Hydra's own composition, and a thousand points are planned with every
one checked.
"""

from __future__ import annotations

import itertools
import re

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from omegaconf import OmegaConf

from study.config.choices import Choices
from study.config.compose import Sweep, compose, compose_all, read_sweep, to_combination
from study.config.loader import config_loader
from study.config.paths import conf_folder
from study.config.schema import OPTIONAL
from study.design.power import resolvable
from study.hydra_plugins import register
from study.launch.declaration import declaration
from study.launch.describe import bound_of_test_set, resolution
from study.launch.plan import make_plan
from study.records import StudyError


@pytest.fixture(scope="module")
def loader():
    register()
    return config_loader()


def by_hydra(overrides: list[str]) -> dict:
    hydra = ConfigLoaderImpl(create_config_search_path(str(conf_folder().resolve())))
    config = hydra.load_configuration("config", overrides, run_mode=RunMode.RUN)
    # none of these are no settings
    levels = [key for key in OPTIONAL if key != "search"]
    left_out = {"hydra", *(key for key in levels if config[key] is None)}
    return OmegaConf.to_container(
        OmegaConf.masked_copy(config, [key for key in config if key not in left_out]), resolve=True
    )


def made(loader, params: dict[str, str], arguments: list[str]):
    of = read_sweep(loader, params, arguments)
    return of, compose_all(loader, "config", of)


@pytest.mark.parametrize(
    ("params", "arguments"),
    [
        (
            {"cell": "rnn,gru", "depth": "1,2", "optimizer.lr": "0.001,0.004", "seed": "range(3)"},
            ["experiment=digits"],
        ),
        ({"task": "adding,copying", "hidden": "8,16"}, ["updates=7", "weights.forget_bias=0,1"]),
        # put together from one composition per level, but for attention, which brings a probe
        (
            {"cell": "rnn,gru", "initializer": "normal,identity", "clip": "none,agc"},
            ["readout=last,attention", "experiment=digits"],
        ),
        (
            {"initializer": "normal", "initializer.std": "auto,0.1"},
            ["clip=value,norm", "clip.threshold=1"],
        ),
        ({}, ["+study.note=a,b", "dropout=0,0.5", "cell=glob(*gru*)"]),
        ({"cell": "rnn,gru", "seed": "0,1,2"}, ["task.split_seed=${seed}"]),
        ({"tracker": "choice([],[wandb])"}, ["health.fading=-2,-1", "seed=0,1"]),
    ],
)
def test_fast_composition_equals_hydras(loader, params, arguments):
    of, combinations = made(loader, params, arguments)
    expected = [
        by_hydra(
            [*of.fixed, *(f"{key}={value}" for key, value in zip(of.factors, values, strict=True))]
        )
        for values in itertools.product(*of.factors.values())
    ]
    assert [dict(combination.config) for combination in combinations] == expected
    assert len(expected) > 1


def test_hydra_composes_each_level_once(loader):
    asked = []

    def composed(levels):
        asked.append(levels)
        return compose(loader, "config", levels)

    chosen = Choices(composed)
    for levels in itertools.product(
        ("cell=rnn", "cell=gru", "cell=lstm"), ("clip=none", "clip=norm"), ("task=digits",)
    ):
        chosen(levels)
    assert len(asked) == 4  # the first choice, two more cells, one more clip rule


def test_the_command_line_replaces_factors_key_by_key(loader):
    of, combinations = made(
        loader,
        {"cell": "rnn,lstm", "depth": "1,2", "seed": "0,1"},
        ["depth=4", "cell=gru,lstm", "clip=none,norm"],
    )
    assert dict(of.factors) == {
        "cell": ["gru", "lstm"],
        "seed": ["0", "1"],
        "clip": ["none", "norm"],
    }
    assert of.fixed == ["depth=4"]
    assert {combination.labels["depth"] for combination in combinations} == {4}
    assert [combination.labels["cell"] for combination in combinations] == ["gru"] * 4 + [
        "lstm"
    ] * 4


def test_a_thousand_points_are_planned(loader):
    params = {
        "cell": "rnn,lstm,gru",
        "initializer": "orthogonal,normal",
        "clip": "none,norm",
        "optimizer.lr": "0.001,0.002,0.004",
        "seed": "range(28)",
    }
    of, combinations = made(loader, params, ["experiment=digits"])
    plan = make_plan(combinations, of, "digits")
    groups = plan.cut(plan.missing, 2, 16)
    assert len(plan.points) == 1008
    assert sum(len(group.points) for group in groups) == 1008


def test_arms_are_applied_to_their_combinations_only(loader):
    _, combinations = made(
        loader,
        {"cell": "rnn,gru", "initializer": "orthogonal,normal"},
        ["study.arms=[{when:{cell:gru,initializer:normal},set:{optimizer.lr:0.1,hidden:5}}]"],
    )
    found = {
        (c.labels["cell"], c.labels["initializer"]): (
            c.config["optimizer"]["lr"],
            c.config["hidden"],
        )
        for c in combinations
    }
    assert found.pop(("gru", "normal")) == (0.1, 5)
    assert set(found.values()) == {(0.004, 32)}


ARMS = (
    "study.arms=[{when:{cell:gru,seed:[0,2]},set:{optimizer.lr:0.1,hidden:5}},{when:{initializer:normal},set:{initializer.std:0.3}},"
    "{when:{optimizer.lr:0.002,cell:rnn},set:{hidden:7}}]"
)


@pytest.mark.parametrize(
    "extra", [[], ["dropout=${optimizer.weight_decay}"], ["task.split_seed=${seed}"]]
)
def test_arms_of_the_fast_path_equal_one_by_one_composition(loader, extra):
    """The second case refers to nothing that varies, the third does and is resolved whole."""
    params = {
        "cell": "rnn,gru",
        "initializer": "orthogonal,normal",
        "optimizer.lr": "0.001,0.002",
        "seed": "0,1,2",
    }
    of, combinations = made(loader, params, [ARMS, *extra])
    lines = [
        [f"{key}={value}" for key, value in zip(of.factors, values, strict=True)]
        for values in itertools.product(*of.factors.values())
    ]
    alone = [
        to_combination(compose(loader, "config", [*of.fixed, *line]), list(of.factors))
        for line in lines
    ]
    assert [(dict(one.config), one.labels) for one in combinations] == [
        (dict(one.config), one.labels) for one in alone
    ]
    assert {one.labels["hidden"] for one in combinations} == {5, 7, 32}
    assert {one.labels["optimizer.lr"] for one in combinations} == {0.001, 0.002, 0.1}


def test_a_node_swept_as_a_whole_keeps_nothing_of_its_predecessor(loader):
    _, combinations = made(
        loader,
        {},
        [
            "weights={forget_bias:0},{input:{_target_:study.initializers.orthogonal.Orthogonal}}",
            "seed=0,1",
        ],
    )
    assert [one.config["weights"]["forget_bias"] for one in combinations] == [0, 0, 1, 1]


def test_a_setting_that_is_null_by_default_can_be_swept_with_its_group(loader):
    _, combinations = made(loader, {"task": "adding,copying", "task.lag": "10,20"}, [])
    assert [one.config["task"]["lag"] for one in combinations] == [10, 20, 10, 20]


def test_the_declaration_does_not_call_fixed_what_arms_change(loader):
    of, combinations = made(
        loader,
        {"cell": "rnn,gru"},
        ["study.arms=[{when:{cell:gru},set:{optimizer.lr:0.1,hidden:5}}]"],
    )
    declared_ = declaration(make_plan(combinations, of, None))
    assert "hidden" not in declared_["fixed"]
    assert "optimizer.lr" not in declared_["fixed"]
    assert declared_["fixed"]["depth"] == 1
    assert [point["labels"]["hidden"] for point in declared_["grid"]] == [32, 5]


def test_attention_brings_the_probe_that_keeps_its_map(loader):
    _, combinations = made(
        loader, {"readout": "last,mean,attention"}, ["task=adding", "probe=[transport]"]
    )
    assert [sorted(one.config["probe"]) for one in combinations] == [
        ["transport"],
        ["transport"],
        ["attention", "transport"],
    ]
    _, (first, _) = made(loader, {"seed": "0,1"}, ["readout=attention", "probe=[]", "task=adding"])
    assert first.config["readout"]["_target_"] == "study.readouts.attention.Attention" and sorted(
        first.config["probe"]
    ) == ["attention"]


def test_a_task_whose_length_is_a_factor(loader):
    """Further lengths join the study, and no length's lag is taken for that of all."""
    of, combinations = made(
        loader, {"task": "adding,copying", "task.steps": "30,40,50"}, ["task.examples=20"]
    )
    plan = make_plan(combinations, of, None)
    facts = declaration(plan)["tasks"]
    assert {name: (of_task["steps"], of_task["lag"]) for name, of_task in facts.items()} == {
        "adding": (50, None),
        "copying": (50, None),
    }
    fewer = make_plan(
        *made(loader, {"task": "adding", "task.steps": "30,60"}, ["task.examples=20"])[::-1], None
    )
    one, other = plan.fingerprint()["tasks"], fewer.fingerprint()["tasks"]
    assert (
        len(one) == 6
        and set(one) & set(other) == {"adding task.steps=30"}
        and one["adding task.steps=30"] == other["adding task.steps=30"]
    )
    (same,) = declaration(
        make_plan(*made(loader, {"task": "adding", "cell": "rnn,gru"}, [])[::-1], None)
    )["tasks"].values()
    assert (same["steps"], same["lag"]) == (100, 100)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["study.arms=[{when:{cell:elman},set:{hidden:5}}]"],
            "study.arms: cell has no level 'elman'; it has antisymmetric, cornn",
        ),
        (["study.arms=[{when:{cell:gru},sets:{hidden:5}}]"], "set: {key: value}"),
        (["study.exclude=[{when:{cell:elman}}]"], "study.exclude: cell has no level 'elman'"),
        (["study.exclude=all"], "must be a list"),
        (["study.arms=[gru]"], "needs when"),
        (["study.arms=[{when:{cel:gru},set:{hidden:5}}]"], "when names 'cel'"),
        (["study.arms=[{set:{hidden:5}}]"], "needs when"),
        (["study.arms=[{when:{cell:gru},set:{hiden:5}}]"], "hiden: there is no such key"),
        (["study.arms=[{when:{cell:gru},set:{hidden:many}}]"], "hidden:"),
    ],
)
def test_mistaken_arms_are_told(loader, arguments, told):
    with pytest.raises(StudyError) as error:
        made(loader, {"cell": "rnn,gru"}, arguments)
    assert told in str(error.value)


def test_lists_are_levels(loader):
    """YAML lists, nested ones and all: never one level that is a list."""
    params = {
        "cell": ["lstm", "gru"],
        "optimizer.lr": [0.1, 1e-3],
        "clip": ["none"],
        "seed": [0, 1],
        "penalty": None,
        "stop.diverged": [True, False],
        "study.title": ["a, b", "c"],
        "probe": [["loss"], ["loss", "transport"]],
        "hidden": "8,16",
    }
    sweep = read_sweep(loader, params, ["seed=3"])
    assert sweep.factors == {
        "cell": ["lstm", "gru"],
        "optimizer.lr": ["0.1", "0.001"],
        "stop.diverged": ["True", "False"],
        "study.title": ["'a, b'", "c"],
        "probe": ["[loss]", "[loss,transport]"],
        "hidden": ["8", "16"],
    }
    assert sweep.fixed == ["clip=none", "seed=3", "penalty=null"]
    with pytest.raises(StudyError, match=r"is written with its dots \(optimizer\.lr\)"):
        read_sweep(loader, {"optimizer": {"lr": [0.1]}}, [])


def test_excluding_everything_is_told(loader):
    of, combinations = made(
        loader, {"cell": "rnn,gru"}, ["study.exclude=[{when:{depth:1},why:no}]"]
    )
    with pytest.raises(StudyError, match="leaves no combination"):
        make_plan(combinations, of, None)


def test_another_sweepers_jobs_run_as_one_study(loader):
    """hydra/sweeper=basic hands all its jobs to our launcher at once."""
    assert Sweep(factors={}, fixed=[]).factors == {}
    config = loader.load_configuration("config", ["hydra/sweeper=basic"], run_mode=RunMode.MULTIRUN)
    assert config.hydra.launcher._target_.endswith("StudyLauncher")


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("health.fading=low", "'low' of type 'str' could not be converted to Float"),
        ("weights.forget_bias=yes", "could not be converted to Float"),
        ("optimizer.lr=inf", "optimizer: lr must be a finite number, got inf"),
        ("clip.threshold=true", "clip: threshold must be a number, got True"),
        ("cell=[rnn]", "cell: needs one level, such as cell=NAME"),
        ("executor=3", "Config group override must be a string or a list"),
        (
            "cell._target_=study.records.StudyError",
            "cell: _target_ must be a Cell (study/interfaces.py), got study.records.StudyError",
        ),
        ("probe.transport._target_=study.cells.lstm.LSTM", "probe.transport: unknown key 'stages'"),
        (
            "+probe._target_=mine.Mine",
            (
                "probe: the YAML of mine.Mine lacks its first line, # @package probe.NAME, with the"
                " name of its file"
            ),
        ),
        ("experiment=quick,adding", "one study per launch"),
    ],
)
def test_values_of_the_wrong_kind_are_told(loader, argument, told):
    with pytest.raises(StudyError) as error:
        of, combinations = made(loader, {"seed": "0,1"}, [argument])
        make_plan(combinations, of, None)
    assert told in str(error.value)


def test_the_last_of_many_levels_is_checked_too(loader):
    of, combinations = made(
        loader,
        {
            "optimizer.lr": ",".join(f"0.00{i}" for i in range(1, 9)) + ",-1",
            "clip.threshold": "1,2",
            "seed": "0,1",
        },
        [],
    )
    with pytest.raises(StudyError, match="lr must be greater than 0, got -1"):
        make_plan(combinations, of, None)


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        ("[7]", "study.claims: each entry is"),
        (
            "[{statement: s, better: {clip: norm}, worse: {clip: none}, by: score}]",
            "study.claims: each entry is",
        ),
        (
            "[{statement: s, better: {clip: norm}, worse: {clip: none}, by: luck, least: 0}]",
            "study.claims: by must be score, train, gap, solved",
        ),
        (
            "[{statement: s, better: {clip: norm}, worse: {clip: none}, by: score, least: -1}]",
            "study.claims: least must be a number of at least 0",
        ),
        (
            "[{statement: s, better: {clip: nrm}, worse: {clip: none}, by: score, least: 0}]",
            "study.claims: clip has no level 'nrm'",
        ),
        (
            "[{statement: s, better: {klip: norm}, worse: {clip: none}, by: score, least: 0}]",
            "study.claims: when names 'klip'",
        ),
    ],
)
def test_a_claim_that_cannot_be_judged_is_refused_before_training(loader, claim, told):
    with pytest.raises(StudyError, match=re.escape(told)):
        made(loader, {"cell": "rnn,lstm"}, [f"study.claims={claim}"])


@pytest.mark.parametrize(
    ("contrast", "told"),
    [
        ("7", "study.contrasts: must be a list of"),
        ("[{name: c, first: {cell: rnn}, by: score}]", "study.contrasts: each entry is"),
        (
            "[{name: c, first: {cell: rnn}, second: {cell: lstm}, by: ranking}]",
            "study.contrasts: by must be score, train",
        ),
        (
            "[{name: c, first: {cell: rnn}, second: {cell: lst}, by: score}]",
            "study.contrasts: cell has no level 'lst'",
        ),
        (
            "[{name: c, first: {cel: rnn}, second: {cell: lstm}, by: score}]",
            "study.contrasts: when names 'cel'",
        ),
    ],
)
def test_a_contrast_that_cannot_be_tested_is_refused_before_training(loader, contrast, told):
    with pytest.raises(StudyError, match=re.escape(told)):
        made(loader, {"cell": "rnn,lstm"}, [f"study.contrasts={contrast}"])


CLAIM = "[{{statement: Wider is better, better: {}, worse: {}, by: score, least: .02}}]"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (
            "study.claims=" + CLAIM.format("{cell: gru}", "{cell: rnn}"),
            "study.claims: cell has the levels rnn, lstm in this plan, got 'gru' in 'Wider is"
            " better'",
        ),
        (
            "study.claims=" + CLAIM.format("{hidden: 64}", "{hidden: smallest}"),
            "hidden has the levels 8, 16, smallest, largest in this plan, got 64",
        ),
        (
            "study.claims=" + CLAIM.format("{cell: largest}", "{cell: rnn}"),
            "cell has the levels rnn, lstm in this plan, got 'largest'",
        ),
        (
            "study.claims=" + CLAIM.format("{hidden: 16, depth: 2}", "{hidden: 8}"),
            "depth has the levels 1, smallest, largest in this plan, got 2",
        ),
        (
            "study.claims=" + CLAIM.format("{width: 16}", "{hidden: 8}"),
            "study.claims: when names 'width', which this study does not have; it has",
        ),
        (
            "study.contrasts=[{name: wide, first: {hidden: [16, 32]}, second: {hidden: 8},"
            " by: score}]",
            "study.contrasts: hidden has the levels 8, 16, smallest, largest in this plan, got 32"
            " in 'wide'",
        ),
    ],
)
def test_a_claim_on_a_level_that_is_absent_is_refused_before_training(loader, setting, told):
    with pytest.raises(StudyError, match=re.escape(told)) as error:
        of, combinations = made(loader, {"cell": "rnn,lstm", "hidden": "8,16"}, [setting])
        make_plan(combinations, of, None)
    assert "in 'W" in str(error.value) or "in 'w" in str(error.value), "the claim is named"


def test_levels_that_are_one_number_and_extremes_pass(loader):
    claims = "study.claims=" + CLAIM.format(
        "{optimizer.lr: 1.0e-2, hidden: largest}", "{optimizer.lr: 0.10, hidden: [8, smallest]}"
    )
    varied = {"optimizer.lr": "0.01,0.1", "hidden": "8,16", "cell": "rnn,lstm"}
    of, combinations = made(loader, varied, [claims])
    assert len(make_plan(combinations, of, None).points) == 8
    _, single = made(loader, {}, ["study.claims=" + CLAIM.format("{cell: gru}", "{cell: rnn}")])
    assert len(make_plan(single, None, None).points) == 1, "one point alone judges no claim"


def test_a_plan_says_what_its_seeds_resolve(loader):
    contrast = "[{name: gated, first: {cell: [lstm, gru]}, second: {cell: rnn}, by: score}]"
    of, combinations = made(
        loader,
        {"cell": "rnn,lstm,gru", "clip": "none,norm", "seed": "0,1,2"},
        [f"study.contrasts={contrast}"],
    )
    plan = make_plan(combinations, of, None)
    assert declaration(plan)["contrasts"][0]["name"] == "gated"
    # gated against plain in two blocks: Σw² = 2·(½² + 2·¼²) = .75, six arms; a level of cell has 2
    # arms, one of clip 3; two arms at n = 3: 3.1 sd (Cohen)
    told = [
        f"{resolvable(weights, 3, df):.2g}"
        for weights, df in (([0.5, 0.25, 0.25] * 2, 12), ([0.5] * 4, 8), ([1 / 3] * 6, 12))
    ]
    assert resolution(plan).endswith(
        f"standard deviations over seeds: gated {told[0]}, cell {told[1]}, clip {told[2]}, two"
        " arms 3.1"
    )
    examples = plan.points[0].config["task"]["test"]
    bound = 2.8 * (0.5 / examples) ** 0.5
    assert bound_of_test_set(plan) == (
        f"however many seeds, the test set of {examples} examples may leave up to {bound:.2g}"
        " between two arms unresolved (a bound for shares)"
    )
    errors, swept = made(loader, {"cell": "rnn,lstm"}, ["task=adding"])
    assert bound_of_test_set(make_plan(swept, errors, None)) == "", "an error has no bound"
    single, once = made(loader, {"cell": "rnn,lstm"}, [])
    assert resolution(make_plan(once, single, None)).startswith("one seed per arm")
