"""Penalties: terms whose values theory knows, and what they change in training: its gradients, and
nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from study.config.check import check
from study.config.loader import config_loader
from study.config.setup import set_up
from study.interfaces import Group, Penalty, UpdatePass
from study.launch.declaration import declaration
from study.launch.plan import make_plan
from study.model import Model
from study.penalties.activation_norm import ActivationNorm
from study.penalties.pascanu import Pascanu
from study.penalties.weight_decay import WeightDecay
from study.probes.pascanu import Pascanu as PascanuProbe
from study.records import StudyError
from study.training.early_end import split_off
from study.training.engine import Stopped, run_group
from study.training.groups import cost
from study.training.loop import train
from study.training.precision import fixed_numerics
from study.training.state import prepare
from study.training.step import loss_and_gradients
from study.update_pass import state_taps, update_pass, valid_steps
from tests.config.test_compose import made
from tests.support.helpers import Linear, MinGRU, orthogonal, point, run, trace

RNN = {"_target_": "study.cells.rnn.RNN", "nonlinearity": "tanh"}
OURS = {
    "weight_decay": {"_target_": "study.penalties.weight_decay.WeightDecay", "weights": "all"},
    "activation_norm": {"_target_": "study.penalties.activation_norm.ActivationNorm"},
    "pascanu": {"_target_": "study.penalties.pascanu.Pascanu", "floor": 1e-20},
}


def node(name: str, strength: float) -> dict[str, Any]:
    return {**OURS[name], "strength": strength}


def seen(of: Any) -> UpdatePass:
    """What a penalty sees of the probe batch of a trace, in fp64."""
    leaves = {name: value.detach().clone().requires_grad_() for name, value in of.params.items()}
    model: Model = of.model
    outputs, layers = model.stepwise(leaves, of.batch.x, of.batch.lengths, [], [], taps=True)
    at_states = torch.autograd.grad(
        of.task.loss(outputs, of.batch).sum(), state_taps(layers), retain_graph=True
    )
    valid = valid_steps(model, of.batch.x, of.batch.lengths)
    return update_pass(model, leaves, layers, at_states, valid)


def trained(*points: Any) -> Any:
    with fixed_numerics():
        training = prepare(points, "cpu")
        train(training, lambda update: None)
    return training


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.3])
def test_pascanu_of_a_linear_network_is_known(gain):
    """W = gain·Q: every one of T-1 steps scales every gradient by the gain."""
    steps = 7
    of = trace(Linear(), {"layer1.weight_h": orthogonal(8, gain)}, steps=steps)
    update = seen(of)
    omega = Pascanu(strength=2.0, floor=1e-20)(update)
    torch.testing.assert_close(
        omega,
        torch.tensor([2 * (steps - 1) * (gain - 1) ** 2], dtype=torch.float64),
        atol=1e-12,
        rtol=1e-9,
    )
    leaves = list(update.params)
    grads = dict(
        zip(
            leaves,
            torch.autograd.grad(omega.sum(), list(update.params.values()), allow_unused=True),
            strict=True,
        )
    )
    assert [name for name in leaves if grads[name] is not None] == ["layer1.weight_h"], (
        "an immediate derivative: only the recurrent weights vary"
    )
    # along W itself, gain -> (1+ε) gain: dΩ/dε = 2 · 2 (T-1) (gain-1) gain
    along = (grads["layer1.weight_h"] * update.params["layer1.weight_h"]).sum()
    torch.testing.assert_close(
        along,
        torch.tensor(2 * 2 * (steps - 1) * (gain - 1) * gain, dtype=torch.float64),
        atol=1e-9,
        rtol=1e-9,
    )


@pytest.mark.parametrize("lengths", [None, torch.tensor([9, 4] * 8)])
def test_pascanu_is_what_the_probe_measures(lengths):
    of = trace(
        check(point(cell=RNN).config).model.cell, {}, steps=9, lengths=lengths, hidden=8, depth=2
    )
    measured = PascanuProbe(stages=[0], floor=1e-20)(of)["omega"].sum(1)
    torch.testing.assert_close(Pascanu(strength=1.0, floor=1e-20)(seen(of)), measured)


def test_pascanu_drops_what_has_vanished_and_counts_what_is_left():
    """With gain 1e-4, ‖G_t‖ falls by four decades a step: a floor of 1e-10 leaves three terms."""
    of = trace(Linear(), {"layer1.weight_h": orthogonal(8, 1e-4)}, steps=9)
    omega = Pascanu(strength=1.0, floor=1e-10)(seen(of)).item()
    assert omega == pytest.approx(3 * (1 - 1e-4) ** 2)


def test_activation_norm_is_zero_where_lengths_stay_and_known_where_they_grow():
    """h_t = gain·Q h_{t-1} after one input: ‖h_t‖ = gain^(t-1) ‖h_1‖."""
    for gain, expected in ((1.0, 0.0), (2.0, (1 + 4 + 16) / 3)):
        of = trace(Linear(), {"layer1.weight_h": orthogonal(8, gain)}, steps=4)
        x = of.batch.x.clone()
        x[:, :, 1:] = 0
        x[:, :, 0] /= (x[:, :, 0] @ of.params["layer1.weight_x"][0].T).norm(dim=-1, keepdim=True)
        update = seen(replace(of, batch=replace(of.batch, x=x)))
        term = ActivationNorm(strength=3.0)(update).item()
        assert term == pytest.approx(3 * expected, abs=1e-12)


def test_weight_decay_is_half_the_squared_length():
    update = seen(trace(Linear(), {"layer1.weight_h": orthogonal(8, 1.0)}, steps=3))
    assert WeightDecay(strength=0.1, weights="recurrent")(update).item() == pytest.approx(0.4)
    everything = sum(value.square().sum().item() for value in update.params.values())
    found = WeightDecay(strength=0.1, weights="all")(update).item()
    assert found == pytest.approx(0.05 * everything)


# --- training -------------------------------------------------------------------------------------

CASES = {
    "rnn": {"cell": RNN},
    "lstm, two layers, dropout": {"depth": 2, "dropout": 0.3},
    "bf16": {"precision": "bf16", "hidden": 16},
    "fp64": {"dtype": "float64"},
    "a stream": {},
}


def case(name: str) -> dict[str, Any]:
    if name != "a stream":
        return CASES[name]
    text = ["task=text", "task.steps=12", "task.window=30", "task.examples=8", "seed=0,1"]
    composed = made(config_loader(), {}, text)[1][0].config
    return {key: composed[key] for key in ("task", "readout")}


@pytest.mark.parametrize("penalty", OURS)
@pytest.mark.parametrize("name", CASES)
def test_a_member_has_the_same_bits_in_any_company_and_of_strength_0_those_without(name, penalty):
    """Strengths differ inside a group; 0 is training without a penalty by the same kernel."""
    kernel = "auto" if penalty == "weight_decay" else "reference"
    changes = {"updates": 4, "validate_every": 2, **case(name)}
    many = trained(
        *(
            point(seed, penalty=node(penalty, strength), **changes)
            for seed, strength in ((0, 0.0), (1, 0.3), (2, 2.0))
        )
    )
    alone = trained(point(1, penalty=node(penalty, 0.3), **changes))
    without = trained(*(point(seed, kernel=kernel, **changes) for seed in range(3)))
    assert torch.equal(alone.params[0], many.params[1])
    assert torch.equal(without.params[0], many.params[0])
    assert not torch.equal(without.params[1], many.params[1])
    assert torch.equal(without.losses[0], many.losses[0]), "the stored loss is the task's alone"
    assert torch.equal(without.validations[0][1], many.validations[0][1])


def test_gradients_are_those_of_loss_plus_term():
    """Weight decay over all weights adds λW before clipping, by whatever kernel."""
    with fixed_numerics():
        pair = [
            prepare([point(**changes), point(1, **changes)], "cpu")
            for changes in ({}, {"penalty": node("weight_decay", 0.3)})
        ]
        (loss, without, _, _), (same, grads, _, _) = (
            loss_and_gradients(training, training.params, 0) for training in pair
        )
    assert pair[1].setup.kernel == "native"
    assert torch.equal(loss, same)
    torch.testing.assert_close(grads, without + 0.3 * pair[1].params)


def test_the_profile_of_an_update_is_that_of_the_loss():
    changes = {"cell": RNN, "depth": 2}
    with fixed_numerics():
        profiles = [
            loss_and_gradients(training, training.params, 0, with_profiles=True)[3]
            for training in (
                prepare([point(kernel="reference", **changes)], "cpu"),
                prepare([point(penalty=node("activation_norm", 5.0), **changes)], "cpu"),
            )
        ]
    assert set(profiles[0]) == {"1/h", "2/h"}
    for layer, columns in profiles[0].items():
        for name, column in columns.items():
            np.testing.assert_array_equal(column, profiles[1][layer][name])


def test_members_that_stay_keep_their_own_strength():
    """Whoever leaves: strengths follow the members."""
    points = [point(seed, penalty=node("pascanu", 0.1 * (seed + 1))) for seed in range(3)]
    with fixed_numerics():
        training = prepare(points, "cpu")
        part = split_off(training, [2], 0)
    assert part.penalty is not None
    torch.testing.assert_close(part.penalty.strength, torch.full((2,), 0.3))


def test_it_goes_on_from_a_checkpoint_with_the_same_numbers(tmp_path):
    points = [
        point(seed, id=f"p{seed}", updates=8, penalty=node("pascanu", 0.1 * (seed + 1)))
        for seed in range(3)
    ]
    whole = run(points, tmp_path / "whole")
    group = Group(name="1", points=tuple(points), cost=1.0)
    with pytest.raises(Stopped):
        run_group(group, tmp_path, "cpu", lambda update: update == 5)
    parts = run(points[1:], tmp_path)
    for one in points[1:]:
        told = [
            {key: value for key, value in store.result(one.id)["row"].items() if key != "seconds"}
            for store in (whole, parts)
        ]
        assert told[0] == told[1]
        assert parts.result(one.id)["provenance"]["resumed"] == [5]


def test_a_term_that_overflows_is_told(tmp_path):
    store = run([point(penalty=node("weight_decay", 1e39))], tmp_path)
    row = store.result("p0")["row"]
    assert (row["status"], row["diverged_at"]) == ("diverged", 0)
    assert row["first_nonfinite"] == "gradient of readout.weight"


# --- planning -------------------------------------------------------------------------------------


def planned(*arguments: str) -> Any:
    of, combinations = made(config_loader(), {}, ["tracker=[]", "seed=0,1", *arguments])
    return make_plan(combinations, of, None)


def test_it_is_a_factor_and_no_penalty_is_the_point_of_before():
    plain, swept = planned(), planned("penalty=none,pascanu,weight_decay")
    assert swept.factors["penalty"] == ["none", "pascanu", "weight_decay"]
    ids = {one.id for one in plain.points}
    assert {one.id for one in swept.points if one.labels["penalty"] == "none"} == ids
    assert len({one.id for one in swept.points}) == 6
    assert all("penalty" not in one.config for one in plain.points)
    assert len({set_up(one.config).group_key for one in swept.points}) == 3


def test_a_penalty_of_all_points_is_told_as_a_fixed_setting():
    assert declaration(planned("penalty=pascanu"))["fixed"]["penalty"] == "pascanu"
    assert "penalty" not in declaration(planned())["fixed"]
    assert "penalty" not in declaration(planned("penalty=none,pascanu"))["fixed"]


def test_strengths_are_swept_and_share_a_group():
    plan = planned("penalty=pascanu", "penalty.strength=0.1,1")
    assert len(plan.points) == 4
    assert len({set_up(one.config).group_key for one in plan.points}) == 1


def test_what_reads_states_is_planned_on_the_reference_kernel():
    reading, plain = (
        set_up(point(penalty=node(name, 0.1)).config) for name in ("pascanu", "weight_decay")
    )
    assert (reading.kernel, plain.kernel) == ("reference", "native")
    assert cost(reading) > 2 * cost(plain)


@pytest.mark.parametrize("kernel", ["native", "fused", "triton"])
def test_a_kernel_without_a_graph_is_refused(kernel):
    with pytest.raises(
        StudyError, match=f"kernel: {kernel} .*penalty needs .*use kernel=auto or kernel=reference"
    ):
        check(point(kernel=kernel, penalty=node("pascanu", 0.1)).config)


class Returns(Penalty):
    def __init__(self, *, what: str) -> None:
        self.what = what

    def __call__(self, update: UpdatePass) -> Any:
        weight = update.params["layer1.weight_h"]
        return {"sum": weight.sum, "number": lambda: 1.0, "member": lambda: weight[5]}[self.what]()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"penalty": node("pascanu", -1.0)}, "penalty: pascanu: strength must be at least 0"),
        ({"penalty": {**node("weight_decay", 1.0), "of": "h"}}, "penalty: unknown key 'of'"),
        (
            {"penalty": node("pascanu", 1.0), "cell": {"_target_": "tests.support.helpers.MinGRU"}},
            "penalty: Pascanu depends on no weight of this network \\(cell MinGRU\\)",
        ),
    ],
)
def test_mistakes_are_told_before_training(changes, told):
    assert MinGRU().shapes(2, 8)[0].role == "input"
    with pytest.raises(StudyError, match=told):
        check(point(**changes).config)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("sum", "must return one value per member, \\[M\\] = \\(2,\\), got \\(\\)"),
        ("number", "must return one value per member"),
        ("member", "penalty: Returns fails on two steps \\(IndexError"),
    ],
)
def test_what_a_penalty_of_ones_own_returns_is_checked(what, told):
    mine = {"_target_": "tests.penalties.test_penalties.Returns", "what": what}
    with pytest.raises(StudyError, match=told):
        check(point(penalty=mine).config)
