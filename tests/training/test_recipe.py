"""Schedules, accumulated gradients, averaged weights and spared biases in training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from study.config.build import later_settings
from study.config.setup import set_up
from study.interfaces import Point
from study.records import LATER, identity
from study.store import Store
from study.training.evaluation import validate
from study.training.probing import NextUpdate
from study.training.state import prepare
from study.training.step import loss_and_gradients, masks, step, training_batch, training_batches
from tests.support.helpers import Sum, point, run
from tests.training.test_checkpoints import CLIPS, go_on, leave
from tests.training.test_engine import same_point

TORCH = {
    "_target_": "study.optimizers.torch.Torch",
    "name": "AdamW",
    "lr": 0.01,
    "settings": {"amsgrad": True, "weight_decay": 0.1},
    "decay_biases": False,
}
SHARP = {  # steps down at nearly every validation
    "_target_": "study.schedules.plateau.Plateau",
    "gamma": 0.5,
    "patience": 0,
    "threshold": 0.5,
    "cooldown": 1,
    "floor": 0.01,
}
STEP = {"_target_": "study.schedules.step.Step", "every": 4, "gamma": 0.5}
AVERAGE = {"decay": 0.8, "start": 3}
RECIPE = {
    "updates": 12,
    "depth": 2,
    "dropout": 0.2,
    "optimizer": TORCH,
    "schedule": SHARP,
    "average": AVERAGE,
    "accumulate": 2,
}


class Stream(Sum):
    """Each row of a batch continues the same row of the batch before."""

    def carries(self, update, batch):
        return update > 0


@pytest.fixture(scope="module")
def members() -> list[Point]:
    """One group, whose second member diverges and leaves."""
    settings = {**TORCH["settings"], "weight_decay": 0.3}
    return [
        point(0, "first", **RECIPE),
        point(1, "diverges", **{**RECIPE, "clip": CLIPS["nan"]}),
        point(
            2,
            "other",
            **{
                **RECIPE,
                "optimizer": {**TORCH, "lr": 0.03, "settings": settings},
                "schedule": {**SHARP, "gamma": 0.3, "cooldown": 0},
            },
        ),
    ]


@pytest.fixture(scope="module")
def undisturbed(members, tmp_path_factory) -> Store:
    return run(members, tmp_path_factory.mktemp("undisturbed"))


def test_a_member_is_the_same_in_any_company(members, undisturbed, tmp_path):
    assert len({set_up(each.config).group_key for each in members}) == 1
    assert undisturbed.status("diverges") == "diverged"
    for each in members:
        same_point(undisturbed, run([each], tmp_path / each.id), each.id)
    both = run([members[2], members[0]], tmp_path / "both")
    same_point(undisturbed, both, "first")


@pytest.mark.parametrize("at", [1, 4, 7, 11])
def test_an_interruption_changes_no_bit(members, undisturbed, tmp_path, at):
    leave(members, tmp_path, at)
    assert go_on(members, tmp_path) == []
    for each in members:
        same_point(undisturbed, Store(tmp_path), each.id)


def test_the_history_has_the_learning_rates(undisturbed, members, tmp_path):
    rates = undisturbed.table("history", ["other"])["lr"]
    assert rates.iloc[0] == 0.03
    assert rates.iloc[-2] < 0.03
    assert math.isnan(rates.iloc[-1])  # no update follows the last validation
    stepped = run([point(schedule=STEP, updates=10)], tmp_path / "step").table("history", ["p0"])
    assert stepped["lr"].tolist()[:-1] == [0.004] * 4 + [0.002] * 4 + [0.001] * 2
    plain = run([point()], tmp_path / "plain").table("history", ["p0"])
    assert plain["lr"].isna().all()


def test_what_means_as_before_leaves_numbers_alone(tmp_path):
    settings = {"accumulate": 1, "precision": "full"}
    settings["optimizer"] = {**point().config["optimizer"], "decay_biases": True}
    one, other = run([point()], tmp_path / "one"), run([point(**settings)], tmp_path / "other")
    same_point(one, other, "p0")


def test_what_means_as_before_leaves_ids_alone():
    config = dict(point().config)
    assert later_settings(config) == {**LATER, "optimizer.decay_biases": True}
    facts = {"data_hash": "d", "kernel": "k", "device_type": "cpu"}
    facts["later"] = {"optimizer": {"decay_biases": True}}

    def id_of(decay=None, **changes):
        optimizer = config["optimizer"] | ({} if decay is None else {"decay_biases": decay})
        return identity({**config, "optimizer": optimizer, **changes}, **facts)

    assert id_of() == id_of(decay=True) == id_of(accumulate=1) == id_of(precision="full")
    others = {"accumulate": 2}, {"decay": False}, {"schedule": STEP}, {"average": AVERAGE}
    assert len({id_of(), *(id_of(**each) for each in others)}) == 5


@pytest.mark.parametrize("penalized", [False, True])
def test_accumulated_gradients_are_those_of_one_batch_of_that_size(penalized):
    penalty = {"_target_": "study.penalties.activation_norm.ActivationNorm", "strength": 0.1}
    changes = {"dtype": "float64"} | ({"penalty": penalty} if penalized else {})
    whole = prepare([point(batch=32, **changes)], "cpu")
    parts = prepare([point(batch=8, accumulate=4, **changes)], "cpu")
    assert torch.equal(training_batch(whole, 3).x, training_batch(parts, 3).x)
    assert [batch.x.shape[1] for batch in training_batches(parts, 3)] == [8] * 4
    for one, other in zip(
        loss_and_gradients(whole, whole.params, 3)[:2],
        loss_and_gradients(parts, parts.params, 3)[:2],
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_accumulated_batches_of_a_stream_carry_on_row_by_row():
    """Each row goes on where it was, so that it is one batch of as many rows."""
    task = {**point().config["task"], "_target_": f"{__name__}.Stream", "every_step": True}
    readout = {**point().config["readout"], "every_step": True}
    changes = {"dtype": "float64", "task": task, "readout": readout, "updates": 4}
    whole = prepare([point(batch=32, **changes)], "cpu")
    parts = prepare([point(batch=16, accumulate=2, **changes)], "cpu")
    assert parts.setup.carries_states
    for update in range(4):
        step(whole, update)
        step(parts, update)
    assert whole.carried
    torch.testing.assert_close(whole.params, parts.params, rtol=1e-10, atol=1e-12)
    for one, other in zip(whole.carried[0], parts.carried[0], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_dropout_differs_between_the_batches_of_an_update():
    training = prepare([point(depth=2, dropout=0.5, accumulate=2, batch=8)], "cpu")
    batch = next(training_batches(training, 0))
    first, second, after = (masks(training, number, batch)[0] for number in range(3))
    assert not torch.equal(first, second)
    assert not torch.equal(second, after)


def test_averaged_weights_are_those_of_torch_and_are_scored():
    training = prepare([point(average=AVERAGE, updates=10)], "cpu")
    model = torch.nn.Linear(training.params.shape[1], 1, bias=False)
    averaging = torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE["decay"])
    reference = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=averaging)
    for update in range(10):
        validate(training, update)
        if update <= AVERAGE["start"]:
            assert torch.equal(training.scored, training.params)
        step(training, update)
        if update + 1 >= AVERAGE["start"]:
            model.weight.data = training.params[:1].clone()
            reference.update_parameters(model)
            expected = reference.module.weight.data
            torch.testing.assert_close(training.averaged[:1], expected, rtol=1e-6, atol=1e-7)
    assert not torch.equal(training.averaged, training.params)
    training.best_score = torch.full_like(training.best_score, torch.inf)
    validate(training, 10)
    assert torch.equal(training.best_params, training.averaged)
    # a probe sees the weights that are trained
    assert torch.equal(
        NextUpdate(training, 9).step().before["layer1.weight_h"].float(),
        training.model.named(training.params)["layer1.weight_h"],
    )


def test_a_probe_of_the_next_update_sees_the_scheduled_one():
    training = prepare([point(schedule=STEP, optimizer=TORCH, accumulate=2)], "cpu")
    for update in range(6):
        found = NextUpdate(training, update).step().after
        step(training, update)
        for name, value in training.model.named(training.params).items():
            assert torch.equal(found[name], value.double())


@pytest.mark.parametrize("optimizer", ["adam", "torch"])
def test_biases_may_be_spared(optimizer):
    """With gradients of zero, weight decay alone moves the weights."""
    node = {
        "adam": {**point().config["optimizer"], "weight_decay": 0.1, "decay_biases": False},
        "torch": TORCH,
    }[optimizer]
    training = prepare([point(optimizer=node)], "cpu")
    params = torch.ones_like(training.params)
    after, _ = training.optimizer(0 * params, params, training.optimizer.init(params))
    biases = training.model.biases
    assert int(biases.sum()) == 4 * 8
    assert (after[:, biases] == 1).all()
    assert (after[:, ~biases] < 1).all()


def test_stored_weights_are_the_averaged_ones(undisturbed, members):
    training = prepare(members[:1], "cpu")
    for update in range(training.setup.updates):
        if update % 3 == 0:
            validate(training, update)
        step(training, update)
    validate(training, training.setup.updates)
    for name, value in training.model.named(training.best_params).items():
        np.testing.assert_array_equal(undisturbed.weights("first")[name], value[0].numpy())


def test_a_module_of_ones_own_is_trained_by_the_same_recipe(tmp_path):
    """Its statistics of batch norm go on from batch to batch, and are not averaged."""
    network = {
        "_target_": "tests.modules.architectures.Convolutional",
        "inputs": "task.inputs",
        "hidden": 6,
        "outputs": "task.outputs",
    }
    own = {"model": network, "initializer": {"_target_": "study.initializers.own.Own"}}
    recipe = {key: RECIPE[key] for key in ("optimizer", "schedule", "average", "accumulate")}
    points = [point(seed, updates=8, **own, **recipe) for seed in range(3)]
    training = prepare(points, "cpu")
    for update in range(8):
        step(training, update)
    named = training.model.named(training.params)
    averaged = training.model.named(training.scored)
    assert (named["norm.num_batches_tracked"] == 16).all()
    for name in training.model.kept:
        assert torch.equal(named[name], averaged[name])
    assert not torch.equal(named["conv.weight"], averaged["conv.weight"])
    everyone = run(points, tmp_path / "everyone")
    same_point(everyone, run(points[1:2], tmp_path / "alone"), "p1")
    leave(points, tmp_path / "left", 5)
    assert go_on(points, tmp_path / "left") == []
    same_point(everyone, Store(tmp_path / "left"), "p2")
