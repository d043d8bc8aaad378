"""What one point's configuration is checked for, before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest

from study.checking import check
from study.records import StudyError
from tests.helpers import HEALTH, Linear, point

NORMAL = {"_target_": "study.initializers.normal.Normal", "std": "auto"}
ADAM = point().config["optimizer"]
EVERY = {**point().config["task"], "every_step": True}


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
     ({"cell": {"_target_": "tests.test_checking.WrongStep"}}, "step of WrongStep must return [M, B, hidden]"),
     ({"cell": {"_target_": "tests.test_checking.RaisingStep"}}, "cell: RaisingStep fails on two steps of zeros (KeyError: 'weight_q'; test_checking.py, line "),
     ({"initializer": {"_target_": "tests.test_checking.WrongShape"}}, "WrongShape returned shape (3,)")],
)  # fmt: skip
def test_what_is_wrong_is_told(change: dict[str, Any], told: str):
    with pytest.raises(StudyError) as error:
        check(point(**change).config)
    assert told in str(error.value)


class WrongShape:
    roles = ("recurrent",)

    def __call__(self, block, generator, facts):
        return facts.hidden * __import__("torch").ones(3)


class WrongStep(Linear):
    def step(self, params, x, state):
        return (x[..., :1],)


class RaisingStep(Linear):
    def step(self, params, x, state):
        return (params["weight_q"],)


def test_a_cell_that_mixes_members_is_refused_before_training(monkeypatch):
    """Its points would depend on their company, and nothing else would ever tell."""
    from study.cells.rnn import RNN

    honest = RNN.step
    monkeypatch.setattr(RNN, "step", lambda self, params, x, state: tuple(h + h.mean(0, keepdim=True) for h in honest(self, params, x, state)))
    monkeypatch.setattr(RNN, "layer", lambda self, params, x: None)
    with pytest.raises(StudyError, match=r"RNN or .* mixes members"):
        check(point(cell={"_target_": "study.cells.rnn.RNN", "nonlinearity": "tanh"}).config)
