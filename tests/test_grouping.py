"""What may be trained together, how it is cut, and what one point's configuration is checked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.grouping import check, cost, group_key, groups, resolve_kernel
from study.linear import linear
from study.records import StudyError
from tests.helpers import HEALTH, Linear, point

GRU = {"_target_": "study.cells.gru.GRU"}
NORMAL = {"_target_": "study.initializers.normal.Normal", "std": "auto"}
NO_CLIP = {"_target_": "study.clipping.none.NoClip"}
ADAM = point().config["optimizer"]
EVERY = {**point().config["task"], "every_step": True}


def test_values_share_a_group_and_structure_does_not():
    key = group_key(point().config)
    for same in (point(7), point(initializer=NORMAL), point(clip=NO_CLIP), point(optimizer={**ADAM, "lr": 0.1}), point(name="other")):
        assert group_key(same.config) == key
    for other in (point(cell=GRU), point(depth=2), point(hidden=9), point(batch=4), point(updates=7), point(dropout=0.5), point(dtype="float64")):
        assert group_key(other.config) != key


def test_groups_hold_every_point_once_longest_first():
    points = [
        point(seed, f"{cell}{depth}{seed}", cell=node, depth=depth)
        for cell, node in (("l", point().config["cell"]), ("g", GRU))
        for depth in (1, 2)
        for seed in range(13)
    ]
    made = groups(points, workers=2, max_members=8, begun={})
    assert sorted(each.id for group in made for each in group.points) == sorted(each.id for each in points)
    assert all(len(group.points) <= 8 for group in made)
    assert all(len({group_key(each.config) for each in group.points}) == 1 for group in made)
    costs = [group.cost for group in made]
    assert costs == sorted(costs, reverse=True)
    assert len({group.name for group in made}) == len(made)


def test_cost_grows_with_the_work():
    base = cost(point().config)
    for more in (point(updates=60), point(depth=2), point(hidden=16), point(batch=64)):
        assert cost(more.config) > base


def test_one_point_is_one_group():
    assert [len(group.points) for group in groups([point()], workers=8, max_members=32, begun={})] == [1]
    assert groups([], workers=2, max_members=8, begun={}) == []


def test_a_good_configuration_passes():
    check(point().config)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"hidden": 0}, "hidden: must be a whole number of at least 1, got 0"), ({"depth": -1}, "depth:"), ({"batch": 2.5}, "batch:"), ({"updates": 0}, "updates:"),
     ({"seed": "one"}, "seed: must be a whole number of at least 0, got 'one'"), ({"seed": -1}, "seed:"), ({"dropout": 1.0}, "dropout:"),
     ({"dtype": "half"}, "float32 or float64"), ({"kernel": "fast"}, "kernel: must be auto or native or fused or reference"),
     ({"kernel": "fused", "cell": {"_target_": "study.cells.gru_reset_after.GRUResetAfter"}}, "this cell has no `layer`"), ({"device": "tpu"}, "device: must be auto, cpu or cuda"),
     ({"clip": {"_target_": "study.clipping.norm.Norm", "threshold": 0}}, "clip:"), ({"optimizer": {**ADAM, "lr": 0}}, "optimizer:"),
     ({"optimizer": {**ADAM, "lr": "fast"}}, "optimizer: lr must be a number"), ({"initializer": {**NORMAL, "std": "small"}}, "initializer: std"),
     ({"task": {**point().config["task"], "lag": 10}}, "task: lag must be at most the sequence's 9 steps, got 10"),
     ({"readout": {"_target_": "tests.helpers.PlainReadout", "every_step": True}}, "readout: the task's loss is on the last step"),
     ({"readout": {"_target_": "study.readouts.every.Every"}}, "use readout=last, mean or attention"), ({"readout": {"_target_": "study.readouts.mean.Mean"}, "task": EVERY}, "use readout=every"),
     ({"readout": {"_target_": "study.readouts.attention.Attention"}, "task": EVERY}, "readout: the task's loss is on every step, this readout's output is not; use readout=every"),
     ({"health": {**HEALTH, "fading": -5}}, "vanishing < fading < 0 < exploding"), ({"health": {**HEALTH, "examples": 1}}, "health.examples"),
     ({"probe": {"late": {"_target_": "study.probes.recurrence.Recurrence", "stages": [0, 2], "level": 0.9}}}, "probe.late: stages"),
     ({"cell": {"_target_": "tests.test_grouping.WrongStep"}}, "step of WrongStep must return [M, B, hidden]"),
     ({"cell": {"_target_": "tests.test_grouping.RaisingStep"}}, "cell: RaisingStep fails on two steps of zeros (KeyError: 'weight_q'; test_grouping.py, line "),
     ({"cell": {"_target_": "tests.test_grouping.Transposed"}}, "cell: block of Transposed's weight_x must be (hidden, inputs) = "),
     ({"cell": {"_target_": "tests.test_grouping.CallingStep"}}, "; test_grouping.py, line "),
     ({"initializer": {"_target_": "tests.test_grouping.WrongShape"}}, "WrongShape returned shape (3,)")],
)  # fmt: skip
def test_what_is_wrong_is_told(change: dict[str, Any], told: str):
    with pytest.raises(StudyError) as error:
        check(point(**change).config)
    assert told in str(error.value)


def test_a_new_step_does_not_inherit_another_cells_kernel():
    assert LSTM.has("fused") and LSTM.has("native")
    assert not Linear.has("fused") and not Linear.has("native")
    assert not Coupled.has("fused") and not Coupled.has("native")
    config = point(cell={"_target_": "tests.test_grouping.Coupled"}).config
    assert resolve_kernel(config) == "reference"
    assert resolve_kernel(point().config) == "native"
    assert resolve_kernel(point(kernel="fused").config) == "fused"


class Coupled(LSTM):
    def step(self, params, x, state):
        h, c = super().step(params, x, state)
        return h, c / 2


class WrongShape:
    roles = ("recurrent",)

    def __call__(self, block, generator, facts):
        return facts.hidden * __import__("torch").ones(3)


class WrongStep(Linear):
    def step(self, params, x, state):
        return (x[..., :1],)


class Transposed(RNN):
    """With one input it would train: its one row is spread over all units."""

    def __init__(self) -> None:
        super().__init__(nonlinearity="tanh")

    def shapes(self, inputs, hidden):
        weight_x, *others = super().shapes(inputs, hidden)
        return (replace(weight_x, block=weight_x.block[::-1]), *others)


class CallingStep(Linear):
    """What raises is our function; the line to mend is the author's, who called it."""

    def step(self, params, x, state):
        return (linear(x, params["weight_h"][..., :1, :1].expand(-1, 3, 7), None),)


class RaisingStep(Linear):
    def step(self, params, x, state):
        return (params["weight_q"],)


def test_a_cell_that_mixes_members_is_refused_before_training(monkeypatch):
    """Its points would depend on their company, and nothing else would ever tell."""
    honest = RNN.step
    monkeypatch.setattr(RNN, "step", lambda self, params, x, state: tuple(h + h.mean(0, keepdim=True) for h in honest(self, params, x, state)))
    monkeypatch.setattr(RNN, "layer", lambda self, params, x: None)
    with pytest.raises(StudyError, match=r"RNN or .* mixes members"):
        check(point(cell={"_target_": "study.cells.rnn.RNN", "nonlinearity": "tanh"}).config)
