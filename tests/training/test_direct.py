"""Updates without a graph of the layers give what a graph gives, to the last bit."""

from __future__ import annotations

import pytest
import torch

from study.tasks.temporal_order import TemporalOrder
from study.training.loop import train
from study.training.precision import fixed_numerics
from study.training.state import prepare
from tests.support.helpers import point
from tests.training.test_engine import CELLS, members

OWN = point().config["task"]  # and the readout of `point`: neither is one of ours
TASKS = {
    name: {"_target_": f"study.tasks.{where}", "lag": None, "examples": 20, "solved": 0.6}
    for name, where in (
        ("adding", "adding.Adding"),
        ("order", "temporal_order.TemporalOrder"),
        ("parity", "parity.Parity"),
    )
}
TASKS = {name: {**node, "steps": 12} for name, node in TASKS.items()}
READOUTS = {name: f"study.readouts.{name.lower()}.{name}" for name in ("Last", "Every", "Mean")}
SGD = {"_target_": "study.optimizers.sgd.SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}
SGD["decay_biases"] = False
RMSPROP = {"_target_": "study.optimizers.rmsprop.RMSprop", "lr": 0.01, "alpha": 0.9, "eps": 1e-8}
RMSPROP |= {"momentum": 0.5, "weight_decay": 0.0}
AGC = {"_target_": "study.clipping.agc.AGC", "ratio": 0.1, "floor": 0.001, "readout": False}
COSINE = "study.schedules.warmup_cosine.WarmupCosine"
COSINE = {"_target_": COSINE, "warmup": 0.2, "start": 0.1, "end": 0.0}
RECIPES = {
    "adding": ("adding", "Last", {"optimizer": SGD, "schedule": COSINE}),
    "classes": ("order", "Last", {"clip": AGC, "average": {"decay": 0.9, "start": 0.1}}),
    "every step": ("parity", "Every", {"optimizer": RMSPROP, "accumulate": 2}),
    "own readout, fp64": ("order", "Mean", {"dtype": "float64"}),
    "diverging": ("adding", "Last", {"optimizer": {**SGD, "lr": 1e38}}),
}


def trained(points, graph):
    with fixed_numerics():
        training = prepare(points, "cpu")
        assert training.direct is not None
        if graph:
            training.direct = None
        train(training, lambda update: None)
    return training


def numbers(training):
    """Everything that is recorded of the members that differ, and what they ended with."""
    kept = slice(0, training.distinct)
    records = ("losses", "norms", "scales", "cosines", "factors")
    found = {name: torch.stack(getattr(training, name) or [torch.ones(9)]) for name in records}
    found = {name: values[:, kept] for name, values in found.items()}
    for number, name in enumerate(("update", "validation loss", "score")):
        rows = [torch.as_tensor(row[number]) for row in training.validations]
        found[name] = torch.stack([row.expand(len(training.points))[kept] for row in rows])
    for name in ("params", "best_params", "averaged", "diverged_at"):
        if getattr(training, name) is not None:
            found[name] = getattr(training, name)[kept]
    state = {name: value[kept] for name, value in training.optimizer_state.items()}
    return found | state


def check(points):
    direct, graph = (numbers(trained(points, graph)) for graph in (False, True))
    assert direct.keys() == graph.keys()
    for name, value in graph.items():
        torch.testing.assert_close(direct[name], value, rtol=0, atol=0, equal_nan=True, msg=name)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(
    ("depth", "hidden", "batch", "inputs"), [(2, 7, 21, 1), (2, 16, 32, 3), (1, 1, 5, 2)]
)
def test_every_cell_by_itself_and_in_company(name, depth, hidden, batch, inputs):
    task = {**OWN, "inputs": inputs}
    shared = {"depth": depth, "hidden": hidden, "batch": batch, "task": task, "probe": {}}
    points = members(cell=CELLS[name], **shared)
    check(points if hidden % 16 == 0 else points[:1])


@pytest.mark.parametrize("name", RECIPES)
def test_tasks_readouts_and_recipes(name):
    task, readout, changes = RECIPES[name]
    shared = {"task": TASKS[task], "readout": {"_target_": READOUTS[readout]}, "probe": {}}
    check([point(seed, batch=16, hidden=16, **shared, **changes) for seed in (0, 0, 1)])


def test_members_that_do_not_fit_the_memory_are_computed_in_parts(monkeypatch):
    from study.kernels.native import members as native

    points = [point(seed, hidden=16, probe={}) for seed in range(5)]
    whole = numbers(trained(points, graph=False))
    monkeypatch.setattr(native, "RESERVED", 1)
    training = trained(points, graph=False)
    parts = [of.parts(5) for of in training.direct.memory.values()]
    assert parts and all(each == [range(2), range(2, 5)] for each in parts)
    assert all(torch.equal(value, whole[name]) for name, value in numbers(training).items())


class Doubled(TemporalOrder):
    def loss(self, outputs, batch):
        return 2 * super().loss(outputs, batch)


def test_a_loss_of_ones_own_has_its_own_gradient():
    """It inherits `loss_gradient`, which is of another loss."""
    task = {**TASKS["order"], "_target_": f"{__name__}.Doubled"}
    shared = {"readout": {"_target_": READOUTS["Last"]}, "probe": {}, "hidden": 16}
    points = [point(seed, task=task, **shared) for seed in range(2)]
    check(points)
