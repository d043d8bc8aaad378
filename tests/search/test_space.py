"""The syntax of sweeps becomes a space; what is wrong with it is told by key."""

from __future__ import annotations

import math

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from study.records import StudyError
from study.search.samplers import QMC, Grid
from study.search.space import at_boundary, contains, to_distribution


def of(line: str):
    return to_distribution(OverridesParser.create().parse_override(line))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hidden=range(16,65,8)", IntDistribution(16, 64, step=8)),
        ("hidden=int(interval(16,64))", IntDistribution(16, 64)),
        ("hidden=tag(log,int(interval(16,64)))", IntDistribution(16, 64, log=True)),
        ("dropout=interval(0,1)", FloatDistribution(0.0, 1.0)),
        ("dropout=range(0.0,0.5,0.1)", FloatDistribution(0.0, 0.4, step=0.1)),
        ("x=range(.5,5.5,step=1)", FloatDistribution(0.5, 4.5, step=1.0)),
        ("hidden=shuffle(range(1,4))", IntDistribution(1, 3)),
        ("optimizer.lr=tag(log,interval(3e-4,3e-2))", FloatDistribution(3e-4, 3e-2, log=True)),
        ("batch=choice(32,64)", CategoricalDistribution([32, 64])),
        ("clip=none,norm", CategoricalDistribution(["none", "norm"])),
        ("name='a b',null,true", CategoricalDistribution(["a b", None, True])),
    ],
)
def test_every_form_of_a_sweep(line, expected):
    assert of(line) == expected


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "hidden=int(interval(64,16))",
            "hidden: the lower bound must not be above the upper one, got 64 > 16",
        ),
        ("hidden=range(64,16,8)", "hidden: the lower bound must be below"),
        ("hidden=range(16,64,-8)", "step above 0"),
        ("lr=tag(log,interval(0,0.1))", "lr: a logarithmic scale needs bounds above 0, got 0.0"),
        ("lr=tag(log,interval(-1,0.1))", "needs bounds above 0"),
        ("lr=interval(0,inf)", "finite"),
        ("lr=tag(fast,interval(0,1))", "the only tag that a search supports is log, got fast"),
        ("lr=tag(log,choice(1,2))", "needs an interval or a range"),
        ("hidden=tag(log,range(1,9,2))", "takes no step"),
        ("hidden=choice(1,1)", "written twice"),
        ("hidden=choice([1],[2])", "between numbers, words"),
        ("hidden=3", "needs one of interval"),
    ],
)
def test_what_is_wrong_with_a_space_is_told(line, told):
    with pytest.raises(StudyError) as error:
        of(line)
    assert told in str(error.value)
    assert line.split("=")[0] in str(error.value)


@pytest.mark.parametrize(
    ("line", "value", "edge"),
    [
        ("hidden=range(16,65,8)", 16, "low"),
        ("hidden=range(16,65,8)", 64, "high"),
        ("hidden=range(16,65,8)", 24, None),
        ("depth=range(1,3)", 1, None),  # of two values each lies at an edge: that says nothing
        ("lr=tag(log,interval(1e-4,1e-2))", 1.05e-4, "low"),
        ("lr=interval(1e-4,1e-2)", 4e-4, None),
        ("lr=tag(log,interval(1e-4,1e-2))", 9.8e-3, "high"),
        ("batch=choice(32,64,128)", 128, "high"),
        ("batch=choice(32,64,128)", 64, None),
        ("clip=none,norm,value", "none", None),
    ],
)
def test_a_best_value_at_an_edge_of_the_space_is_seen(line, value, edge):
    assert at_boundary(of(line), value) == edge


@pytest.mark.parametrize(
    ("line", "inside", "outside"),
    [
        ("h=range(16,65,8)", 24, 30),
        ("h=range(16,65,8)", 64, 72),
        ("b=choice(1,2)", 2, True),
        ("x=interval(0,1)", 0.5, 1.5),
        ("h=int(interval(1,5))", 2, 2.5),
    ],
)
def test_whether_a_setting_lies_in_a_space(line, inside, outside):
    assert contains(of(line), inside)
    assert not contains(of(line), outside)


def test_a_sequence_covers_every_range_evenly_and_belongs_to_its_slots():
    space = {
        "lr": of("lr=tag(log,interval(1e-4,1))"),
        "h": of("h=range(0,8)"),
        "c": of("c=a,b"),
        "d": of("d=range(0.0,1.0,0.25)"),
        "n": of("n=tag(log,int(interval(1,64)))"),
    }
    settings = [QMC.setting(space, 3, slot) for slot in range(8)]
    assert sorted(one["h"] for one in settings) == list(range(8))
    assert sorted(one["c"] for one in settings) == ["a"] * 4 + ["b"] * 4
    assert sorted(one["d"] for one in settings) == [0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    decades = sorted(math.floor(math.log10(one["lr"])) for one in settings)
    assert decades == [-4, -4, -3, -3, -2, -2, -1, -1]
    for one in settings:
        assert all(contains(domain, one[key]) for key, domain in space.items())
    assert QMC.setting(space, 3, 5) == settings[5] != QMC.setting(space, 4, 5)


def test_a_grid_has_every_combination_once_and_one_order():
    space = {"a": of("a=range(1,4)"), "b": of("b=x,y"), "c": of("c=range(0.0,0.5,0.25)")}
    settings = Grid.settings(space, 0)
    assert sorted((one["a"], one["b"], one["c"]) for one in settings) == [
        (a, b, c) for a in (1, 2, 3) for b in "xy" for c in (0.0, 0.25)
    ]
    assert settings == Grid.settings(space, 0)
    assert settings != Grid.settings(space, 1)
    with pytest.raises(StudyError, match="not an interval"):
        Grid.settings({"x": of("x=interval(0,1)")}, 0)
