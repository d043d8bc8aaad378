"""Modules are trained as a plain loop would, alone as in company, and as the stack where equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from study.config.check import check
from study.config.setup import set_up
from study.modules.network import ModuleNetwork
from study.numerics.streams import generator
from study.records import StudyError
from study.training.loop import train
from study.training.members import keep_members
from study.training.state import prepare
from study.training.step import loss_and_gradients
from tests.support.helpers import HEALTH, point, run

HERE = "tests.modules.architectures"


def model(name: str, **arguments):
    return {"_target_": f"{HERE}.{name}", **arguments}


SIZES = {"inputs": "task.inputs", "hidden": 6, "outputs": "task.outputs"}
LSTM = model(
    "LastStep", input_size="task.inputs", hidden_size=8, num_layers=1, output_size="task.outputs"
)
# batch norm keeps statistics, the transformer has dropout and no recurrence
MODELS = {
    "lstm": LSTM,
    "convolutional": model("Convolutional", **SIZES),
    "cells": model("CellLoop", **SIZES),
    "transformer": model("Transformer", inputs="task.inputs", width=6, outputs="task.outputs"),
}
OWN = {"_target_": "study.initializers.own.Own"}


def points(node, seeds=(0, 1, 2), **changes):
    return [point(seed, model=node, initializer=OWN, updates=8, **changes) for seed in seeds]


@pytest.mark.parametrize("name", MODELS)
def test_a_member_is_the_same_alone_in_company_and_after_others_left(name):
    everyone = prepare(points(MODELS[name]), "cpu")
    train(everyone, lambda update: None)
    alone = prepare(points(MODELS[name], (1,)), "cpu")
    train(alone, lambda update: None)
    left = prepare(points(MODELS[name]), "cpu")
    train(left, lambda update: keep_members(left, [1]) if update == 3 else None)
    for other in (alone, left):
        for field in ("params", "best_params", "best_score", "best_loss"):
            assert torch.equal(getattr(other, field)[0], getattr(everyone, field)[1]), field
        for field in ("losses", "norms", "scales", "cosines"):
            ours, theirs = getattr(other, field), getattr(everyone, field)
            assert [float(each[0]) for each in ours] == [float(each[1]) for each in theirs], field


@pytest.mark.parametrize("name", MODELS)
def test_training_is_that_of_a_plain_loop(name):
    """torch.nn.utils.clip_grad_norm_ and torch.optim.Adam on the module itself."""
    (own,) = points(MODELS[name], (3,))
    training = prepare([own], "cpu")
    network = training.model
    assert isinstance(network, ModuleNetwork)
    plain = set_up(own.config).module.module.__class__(
        **{
            key: {"task.inputs": network.task.inputs, "task.outputs": network.task.outputs}.get(
                value, value
            )
            for key, value in own.config["model"].items()
            if key != "_target_"
        }
    )
    first = {key: value[0].clone() for key, value in network.named(training.params).items()}
    plain.load_state_dict(first, strict=False)
    train(training, lambda update: None)
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.004)
    task = training.task
    for update in range(8):
        drawn = task.sample(lambda *key: generator(3, "data", *key), update, 16)
        plain.train()
        torch.manual_seed(generator(3, "module", update).initial_seed())
        loss = (plain(drawn.x) - drawn.y).square().mean()
        assert float(loss) == pytest.approx(float(training.losses[update][0]), rel=1e-5)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        assert float(norm) == pytest.approx(float(training.norms[update][0]), rel=1e-4)
        optimizer.step()
    state = plain.state_dict()
    for key, value in network.named(training.params).items():
        # A bias before batch norm, or of attention's keys (which softmax cancels), has no gradient
        # but rounding, which Adam scales up.
        if key in ("conv.bias", "norm.running_mean"):
            continue
        got, due = value[0].to(state[key]), state[key]
        if key.endswith("in_proj_bias"):
            got, due = (torch.stack(one.chunk(3))[[0, 2]] for one in (got, due))
        torch.testing.assert_close(got, due, rtol=1e-3, atol=2e-5)


def stack_and_module(depth: int):
    """The stack, and the same network as a module with the stack's weights, in fp64."""
    readout = {"_target_": "study.readouts.last.Last"}
    health = HEALTH | {"examples": 32}
    ours = point(
        0,
        depth=depth,
        dtype="float64",
        readout=readout,
        kernel="reference",
        updates=8,
        health=health,
    )
    node = LSTM | {"num_layers": depth}
    theirs = point(0, model=node, dtype="float64", initializer=OWN, updates=8, health=health)
    stack, module = prepare([ours], "cpu"), prepare([theirs], "cpu")
    weights, places = stack.model.named(stack.params), module.model.slices
    params = module.params.clone()
    for layer in range(depth):
        of = f"layer{layer + 1}"
        pairs = {
            f"rnn.weight_ih_l{layer}": weights[f"{of}.weight_x"],
            f"rnn.weight_hh_l{layer}": weights[f"{of}.weight_h"],
            f"rnn.bias_ih_l{layer}": weights[f"{of}.bias"],
            f"rnn.bias_hh_l{layer}": torch.zeros_like(weights[f"{of}.bias"]),
        }
        for name, value in pairs.items():
            params[:, places[name][0]] = value.flatten(1)
    for name in ("weight", "bias"):
        value = weights[f"readout.{name}"]
        params[:, places[f"fc.{name}"][0]] = value.flatten(1)
    module.params = module.best_params = params
    return stack, module


@pytest.mark.parametrize("depth", [1, 2])
def test_a_stack_written_as_a_module_gives_the_engines_numbers(depth):
    stack, module = stack_and_module(depth)
    examples = stack.task.split("validation")
    x = examples.x[None, :12].double().expand(2, -1, -1, -1)
    outputs = [
        each.model.forward(each.model.named(each.params), x, None) for each in (stack, module)
    ]
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-10)
    (loss, grads, *_), (own_loss, own_grads, *_) = (
        loss_and_gradients(each, each.params, 0) for each in (stack, module)
    )
    torch.testing.assert_close(loss, own_loss, rtol=0, atol=1e-10)
    of, own = stack.model.named(grads), module.model.named(own_grads)
    for layer in range(depth):
        for ours, theirs in (
            ("weight_x", "weight_ih"),
            ("weight_h", "weight_hh"),
            ("bias", "bias_ih"),
        ):
            torch.testing.assert_close(
                of[f"layer{layer + 1}.{ours}"], own[f"rnn.{theirs}_l{layer}"], rtol=0, atol=1e-10
            )
    from study.training.probing import probe, stages_due

    for each in (stack, module):
        probe(each, 0, stages_due(each, 0))
    for ours, theirs in zip(stack.measured, module.measured, strict=True):
        assert ours.profiles.keys() == theirs.profiles.keys()
        for key, columns in ours.profiles.items():
            for name, values in columns.items():
                np.testing.assert_allclose(values, theirs.profiles[key][name], atol=1e-10, rtol=0)
        assert [row["state"] for rows in ours.states.values() for row in rows] == [
            row["state"] for rows in theirs.states.values() for row in rows
        ]
        for key, numbers in ours.values.items():
            np.testing.assert_allclose(numbers, theirs.values[key], atol=1e-10, rtol=0)


def test_two_processes_and_two_groups_store_the_same_bits(tmp_path):
    one = run(points(MODELS["convolutional"]), tmp_path / "one")
    other = run(points(MODELS["convolutional"], (2,)), tmp_path / "other")
    ours, theirs = one.weights("p2"), other.weights("p2")
    assert ours.keys() == theirs.keys() >= {"norm.running_mean", "rnn.weight_hh_l1_reverse"}
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert not np.array_equal(ours["norm.running_var"], np.ones_like(ours["norm.running_var"]))


def test_the_initializer_fills_recurrent_weights_gate_by_gate():
    changed = point(0, model=LSTM)  # orthogonal
    training = prepare([changed], "cpu")
    named = training.model.named(training.params)
    for block in named["rnn.weight_hh_l0"][0].split(8):
        torch.testing.assert_close(block @ block.T, torch.eye(8), rtol=0, atol=1e-5)
    own = prepare([point(0, model=LSTM, initializer=OWN)], "cpu")
    theirs = own.model.named(own.params)
    for name in named:
        assert torch.equal(named[name], theirs[name]) == ("weight_hh" not in name), name


REFUSED = [
    (model("Nothing"), "cannot be imported (AttributeError"),
    (LSTM | {"input_size": "task.symbols"}, "input_size may take task.inputs, task.outputs"),
    (
        LSTM | {"heads": 2},
        "LastStep(input_size, hidden_size, num_layers, output_size, kind='LSTM')",
    ),
    (LSTM | {"output_size": 3}, "LastStep must return [B, O] = ["),
    (LSTM | {"hidden_size": "many"}, "LastStep cannot be built with"),
    (LSTM | {"_input_": "symbols"}, "_input_: symbols needs a task whose inputs are one symbol"),
    (LSTM | {"_layout_": "time"}, "_layout_ must be batch_first or time_first, got 'time'"),
    ({"_target_": "math.sqrt"}, "model: "),
    ({"_target_": "torch.nn.Identity"}, "has no parameter to train"),
    ({"_target_": "torch.nn.LazyLinear", "out_features": 1}, "lazy layers"),
    (
        {"_target_": "torch.nn.Bilinear", "in1_features": 1, "in2_features": 1, "out_features": 1},
        "Bilinear.forward must take x",
    ),
    ({"input_size": 1}, "needs _target_"),
]


@pytest.mark.parametrize(("node", "sentence"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_trained_is_one_sentence(node, sentence):
    with pytest.raises(StudyError) as error:
        check(point(0, model=node).config)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
