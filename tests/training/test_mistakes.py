"""What a newcomer writes wrong in a piece of their own is told when it is planned, by piece, key
and line; never by a bare traceback.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from study.config.check import check, check_pieces
from study.interfaces import Cell, ClipRule, Initializer, Optimizer, Parameter, PerMember, Probe
from study.records import StudyError
from study.training.groups import groups
from tests.support.faults import LOCAL
from tests.support.helpers import MinGRU, Sum, point

SUM = {"steps": 9, "inputs": 1, "every_step": False, "lag": 9}


class NoShapes(Cell):
    def step(self, params, x, state):
        return state


class Names(Cell):
    def shapes(self, inputs, hidden):
        return ("weight",)

    def step(self, params, x, state):
        return state


class Role(Names):
    def shapes(self, inputs, hidden):
        return (Parameter("weight", "recurent", ("h",), (hidden, hidden)),)  # type: ignore[arg-type]


class Twice(Names):
    def shapes(self, inputs, hidden):
        return (
            Parameter("bias", "bias", ("h",), (hidden,)),
            Parameter("bias", "bias", ("g",), (hidden,)),
        )


class Bare(Names):
    def shapes(self, inputs, hidden):
        return (Parameter("weight", "recurrent", ("h",), (hidden, hidden)),)

    def step(self, params, x, state):
        return state[0]


class Key(Bare):
    def step(self, params, x, state):
        return (state[0] @ params["weights"].mT,)


class Values(Initializer):
    """`kind` says what is wrong with it."""

    def __init__(self, *, kind: str) -> None:
        self.kind = kind
        if kind == "untyped":
            len(3)  # type: ignore[arg-type]
        self.roles = {
            "text": "recurrent",
            "typo": ("recurent",),
            "bias": ("bias",),
            "readout": ("recurrent", "readout"),
        }.get(kind, ("recurrent",))  # type: ignore[assignment]

    def __call__(self, block, generator, facts):
        if self.kind == "raises":
            return 1 / 0
        return {"none": None, "nan": torch.full(block.shape, torch.nan, dtype=torch.float64)}.get(
            self.kind, torch.zeros(block.shape)
        )


class Rule(ClipRule):
    def __init__(self, *, threshold: PerMember) -> None:
        self.threshold = threshold

    def __call__(self, grads, params, state):
        return grads * self.threshold, state  # [M, P] times [M]


class Alone(Rule):
    def __call__(self, grads, params, state):
        return grads


class Half(Optimizer):
    def init(self, params):
        return {}

    def __call__(self, grads, params, state):
        return params[:, :4], state


class NoStages(Probe):
    def __call__(self, trace):
        return {}


class Kinds(Sum):
    """`kind` says what is wrong with it."""

    def __init__(
        self, *, steps: int, inputs: int, every_step: bool, lag: int | None, kind: str
    ) -> None:
        super().__init__(steps=steps, inputs=inputs, every_step=every_step, lag=lag)
        self.kind = kind

    def load(self):
        if self.kind == "column":
            {}["value"]

    @property
    def facts(self):
        facts = super().facts
        return {
            "facts": None,
            "inputs": dataclasses.replace(facts, inputs=2),
            "baseline": dataclasses.replace(facts, baseline=float("nan")),
        }.get(self.kind, facts)

    def split(self, part):
        batch = super().split(part)
        lengths = {"long": torch.full((50,), 10), "zero": torch.zeros(50, dtype=torch.long)}.get(
            self.kind
        )
        x = {
            "flat": batch.x[..., 0],
            "empty": batch.x[:0],
            "hole": batch.x.index_fill(1, torch.tensor([2]), torch.nan),
        }.get(self.kind, batch.x)
        return dataclasses.replace(batch, x=x, lengths=lengths)

    def loss(self, outputs, batch):
        return (
            super().loss(outputs, batch).mean()
            if self.kind == "loss"
            else super().loss(outputs, batch)
        )

    def metric(self, outputs, batch):
        return (
            super().metric(outputs, batch).mean(1, keepdim=True)
            if self.kind == "metric"
            else super().metric(outputs, batch)
        )

    def step_loss(self, outputs, batch, anchor):
        return (
            super().step_loss(outputs, batch, anchor).mean(1)
            if self.kind == "step"
            else super().step_loss(outputs, batch, anchor)
        )


def node(name: str, **settings: Any) -> dict[str, Any]:
    return {"_target_": f"tests.training.test_mistakes.{name}", **settings}


def task(kind: str) -> dict[str, Any]:
    return {"task": node("Kinds", **SUM, kind=kind)}


def initializer(kind: str) -> dict[str, Any]:
    return {"initializer": node("Values", kind=kind)}


MISTAKES = [
    ({"cell": node("NoShapes")}, ["cell: NoShapes cannot be built", "abstract method"]),
    ({"cell": node("Names")}, ["cell: Names.shapes must return Parameters", "'weight'"]),
    (
        {"cell": node("Role")},
        ["role of Role's weight must be recurrent or input or bias or own, got 'recurent'"],
    ),
    ({"cell": node("Twice")}, ["a different name, got bias, bias"]),
    ({"cell": node("Bare")}, ["step of Bare must return a tuple", "got Tensor"]),
    ({"cell": node("Key")}, ["cell: Key fails", "KeyError: 'weights'", "test_mistakes.py, line "]),
    (
        initializer("untyped"),
        ["initializer: Values cannot be built (TypeError", "test_mistakes.py, line "],
    ),
    (initializer("text"), ["roles of Values must be a tuple", "'recurrent'"]),
    (
        initializer("typo"),
        ["roles of Values must be a tuple of recurrent, input, bias", "recurent"],
    ),
    (initializer("bias"), ["roles of Values must contain recurrent", "start at zero"]),
    (initializer("readout"), ["weights.readout"]),
    (
        initializer("raises"),
        ["initializer: Values cannot fill layer1.", "ZeroDivisionError", "test_mistakes.py, line "],
    ),
    (initializer("none"), ["initializer: Values returned NoneType"]),
    (initializer("nan"), ["not finite"]),
    (
        {"clip": node("Rule", threshold=1.0)},
        ["clip: Rule fails on one update of two members", "test_mistakes.py, line "],
    ),
    (
        {"clip": node("Alone", threshold=1.0)},
        ["clip: Alone must return ([M, P], next state)", "got Tensor"],
    ),
    (
        {"optimizer": node("Half")},
        ["optimizer: Half must return ([M, P], next state)", "got (2, 4)"],
    ),
    ({"probe": {"mine": node("NoStages")}}, ["probe.mine: NoStages must keep `stages`"]),
    (
        task("column"),
        ["task: Kinds cannot load its data (KeyError: 'value'", "test_mistakes.py, line "],
    ),
    (task("facts"), ["task: Kinds.facts must be TaskFacts, got NoneType"]),
    (task("inputs"), ["D = 2, got (50, 9, 1)"]),
    (task("baseline"), ["baseline of Kinds must be a finite number"]),
    (task("flat"), ["x of the train split must be [B, T, D]", "got (50, 9)"]),
    (task("empty"), ["x of the train split must be [B, T, D] with B > 0"]),
    (task("hole"), ["x of the train split holds values that are not finite"]),
    (task("long"), ["lengths of the train split", "from 1 to T = 9", "from 10 to 10"]),
    (task("zero"), ["lengths of the train split", "from 0 to 0"]),
    (task("loss"), ["loss of Kinds must be [M] = (2,), got ()"]),
    (task("metric"), ["metric of Kinds must be [M, B] = (2, 4), got (2, 1)"]),
    (task("step"), ["step_loss of Kinds must be [M, B] = (2, 4), got (2,)"]),
]


@pytest.mark.parametrize(
    ("change", "told"),
    MISTAKES,
    ids=[" ".join(map(str, next(iter(change.values())).values())) for change, _ in MISTAKES],
)
def test_a_mistake_in_a_piece_is_told_before_training(change, told):
    config = {**point(**change).config, "executor": LOCAL}
    with pytest.raises(StudyError) as error:
        check_pieces(config, set())
        check(config)
    for part in told:
        assert part in str(error.value)


def test_a_study_of_cells_without_a_recurrent_product_can_be_grouped():
    """Their cost was 0, and the share of a worker with it."""
    points = [point(seed, cell={"_target_": "tests.support.helpers.MinGRU"}) for seed in range(3)]
    made = groups(points, workers=2, max_members=8, updates_made={})
    assert sorted(of.seed for group in made for of in group.points) == [0, 1, 2]
    assert all(group.cost > 0 for group in made)
    assert MinGRU().shapes(1, 4)[0].role == "input"
