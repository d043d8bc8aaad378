"""What one point's configuration is checked for, before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from study.cells.rnn import RNN
from study.config.check import check
from study.numerics.linear import linear
from study.records import StudyError
from study.tasks.adding import Adding
from study.tasks.shared.arrays import Arrays, take
from tests.support.helpers import HEALTH, Linear, point

NORMAL = {"_target_": "study.initializers.normal.Normal", "std": "auto"}
ADAM = point().config["optimizer"]
EVERY = {**point().config["task"], "every_step": True}


def test_a_good_configuration_passes():
    check(point().config)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hidden": 0}, "hidden: must be a whole number of at least 1, got 0"),
        ({"depth": -1}, "depth:"),
        ({"batch": 2.5}, "batch:"),
        ({"updates": 0}, "updates:"),
        ({"seed": "one"}, "seed: must be a whole number of at least 0, got 'one'"),
        ({"seed": -1}, "seed:"),
        ({"dropout": 1.0}, "dropout:"),
        ({"dtype": "half"}, "float32 or float64"),
        ({"kernel": "fast"}, "kernel: must be auto or native or triton or fused or reference"),
        (
            {"kernel": "fused", "cell": {"_target_": "study.cells.gru_reset_after.GRUResetAfter"}},
            "this cell has no `layer`",
        ),
        ({"device": "tpu"}, "device: must be auto, cpu or cuda"),
        ({"clip": {"_target_": "study.clipping.norm.Norm", "threshold": 0}}, "clip:"),
        ({"optimizer": {**ADAM, "lr": 0}}, "optimizer:"),
        ({"optimizer": {**ADAM, "lr": "fast"}}, "optimizer: lr must be a number"),
        ({"initializer": {**NORMAL, "std": "small"}}, "initializer: std"),
        (
            {"task": {**point().config["task"], "lag": 10}},
            "task: lag must be at most the sequence's 9 steps, got 10",
        ),
        (
            {"readout": {"_target_": "tests.support.helpers.PlainReadout", "every_step": True}},
            "readout: the task's loss is on the last step",
        ),
        (
            {"readout": {"_target_": "study.readouts.every.Every"}},
            "use readout=last, mean or attention",
        ),
        ({"readout": {"_target_": "study.readouts.mean.Mean"}, "task": EVERY}, "use readout=every"),
        (
            {"readout": {"_target_": "study.readouts.attention.Attention"}, "task": EVERY},
            "readout: the task's loss is on every step, this readout's output is not; use"
            " readout=every",
        ),
        ({"health": {**HEALTH, "fading": -5}}, "vanishing < fading < 0 < exploding"),
        ({"health": {**HEALTH, "examples": 1}}, "health.examples"),
        (
            {
                "probe": {
                    "late": {
                        "_target_": "study.probes.recurrence.Recurrence",
                        "stages": [0, 2],
                        "level": 0.9,
                    }
                }
            },
            "probe.late: stages",
        ),
        (
            {"cell": {"_target_": "tests.config.test_check.WrongStep"}},
            "step of WrongStep must return [M, B, width]",
        ),
        (
            {"cell": {"_target_": "tests.config.test_check.RaisingStep"}},
            "cell: RaisingStep fails on two steps of zeros (KeyError: 'weight_q';"
            " test_check.py, line ",
        ),
        (
            {"task": {"_target_": "tests.config.test_check.Hollow", "hollow": "train"}},
            "task: Hollow: x of the train split must be [B, T, D] with B > 0, T = 8 and D = 2,"
            " got (0, 8, 2)",
        ),
        (
            {"task": {"_target_": "tests.config.test_check.Hollow", "hollow": "test"}},
            "task: Hollow: x of the test split must be [B, T, D] with B > 0",
        ),
        (
            {"cell": {"_target_": "tests.config.test_check.Transposed"}},
            "cell: block of Transposed's weight_x must be (hidden, inputs) = ",
        ),
        ({"cell": {"_target_": "tests.config.test_check.CallingStep"}}, "; test_check.py, line "),
        (
            {"initializer": {"_target_": "tests.config.test_check.WrongShape"}},
            "WrongShape returned shape (3,)",
        ),
    ],
)
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


class Hollow(Arrays):
    """Adding over fixed examples, one split without any."""

    def __init__(self, *, hollow: str) -> None:
        self.hollow = hollow
        self.drawn = Adding(steps=8, lag=None, examples=20, solved=0.01)

    @property
    def facts(self):
        return self.drawn.facts

    def load(self):
        self.parts = {
            part: take(self.drawn.split(part), torch.arange(0 if part == self.hollow else 20))
            for part in ("train", "validation", "test")
        }

    def loss(self, outputs, batch): ...

    def step_loss(self, outputs, batch, anchor): ...

    def metric(self, outputs, batch): ...


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
    monkeypatch.setattr(
        RNN,
        "step",
        lambda self, params, x, state: tuple(
            h + h.mean(0, keepdim=True) for h in honest(self, params, x, state)
        ),
    )
    monkeypatch.setattr(RNN, "layer", lambda self, params, x: None)
    with pytest.raises(StudyError, match=r"RNN or .* mixes members"):
        check(point(cell={"_target_": "study.cells.rnn.RNN", "nonlinearity": "tanh"}).config)
