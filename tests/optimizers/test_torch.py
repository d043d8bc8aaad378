"""Optimizers of torch.optim equal a loop in plain PyTorch, for each member with its settings."""

from __future__ import annotations

import pytest
import torch

from study.config.build import build, build_for_members, structure
from study.config.check import check_schedule
from study.optimizers.torch import ELEMENTWISE, OTHERS, Torch, arguments
from study.records import StudyError

UPDATES, WIDTH = 50, 70
RATES = (0.01, 0.03)
SETTINGS = {
    "ASGD": ({"lambd": 0.1, "t0": 10.0}, {"lambd": 0.01, "t0": 3.0}),
    "Adadelta": ({"rho": 0.9}, {"rho": 0.5, "eps": 1e-3}),
    "Adagrad": ({"initial_accumulator_value": 0.1}, {"initial_accumulator_value": 0.2}),
    "Adam": ({"amsgrad": True, "weight_decay": 0.1}, {"amsgrad": True, "weight_decay": 0.2}),
    "AdamW": ({"betas": [0.9, 0.95]}, {"betas": [0.5, 0.9], "weight_decay": 0.1}),
    "Adamax": ({}, {"eps": 1e-3}),
    "NAdam": ({"momentum_decay": 0.01}, {"momentum_decay": 0.1}),
    "RAdam": ({"decoupled_weight_decay": True}, {"decoupled_weight_decay": True}),
    "RMSprop": ({"centered": True, "momentum": 0.9}, {"centered": True, "momentum": 0.5}),
    "Rprop": ({}, {"etas": [0.4, 1.3]}),
    "SGD": ({"momentum": 0.9, "nesterov": True}, {"momentum": 0.5, "nesterov": True}),
}
BIASES = torch.arange(WIDTH) % 7 == 0


def node(name: str = "AdamW", **changes):
    found = {"_target_": "study.optimizers.torch.Torch", "name": name, "lr": 0.01, "settings": {}}
    return found | {"decay_biases": True} | changes


def of_members(nodes, dtype=torch.float64):
    return build_for_members(nodes, "optimizer", torch.device("cpu"), dtype)


def gradients(members: int, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    for _ in range(UPDATES):
        yield torch.randn(members, WIDTH, dtype=torch.float64, generator=generator).to(dtype)


def start(members: int, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(members, WIDTH, dtype=torch.float64, generator=generator).to(dtype)


def ours(nodes, dtype=torch.float64, *, spare=False):
    optimizer, params = of_members(nodes, dtype), start(len(nodes), dtype)
    optimizer = optimizer.sparing(BIASES) if spare else optimizer
    state = optimizer.init(params)
    for grads in gradients(len(nodes), dtype):
        params, state = optimizer(grads, params, state)
    assert all(len(value) == len(nodes) for value in state.values())
    return params


def theirs(name, member, rate, settings, dtype=torch.float64, *, spare=False):
    """A loop in plain PyTorch over one member of two, its tensors as a network has them."""
    row = start(2, dtype)[member]
    which = [~BIASES, BIASES] if spare else [slice(0, 40), slice(40, WIDTH)]
    leaves = [row[columns].clone().requires_grad_() for columns in which]
    groups = [
        {"params": [leaves[0]]},
        {"params": [leaves[1]], **({"weight_decay": 0.0} if spare else {})},
    ]
    settings = {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()}
    optimizer = getattr(torch.optim, name)(groups, lr=rate, **settings)
    for grads in gradients(2, dtype):
        for leaf, columns in zip(leaves, which, strict=True):
            leaf.grad = grads[member][columns].clone()
        optimizer.step()
    joined = torch.empty_like(row)
    for leaf, columns in zip(leaves, which, strict=True):
        joined[columns] = leaf.detach()
    return joined


def test_every_optimizer_of_torch_is_allowed_or_refused_with_a_reason():
    known = {
        name
        for name, each in vars(torch.optim).items()
        if isinstance(each, type) and issubclass(each, torch.optim.Optimizer)
    }
    assert known - {"Optimizer"} == {*ELEMENTWISE, *OTHERS}
    settings = build_settings()
    assert set(settings) == {
        key for name in ELEMENTWISE for key in arguments(getattr(torch.optim, name))
    }
    assert set(settings.values()) == {None}


def build_settings():
    import yaml

    from study.config.paths import conf_folder

    return yaml.safe_load((conf_folder() / "optimizer" / "torch.yaml").read_text())["settings"]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_equals_a_loop_in_plain_torch(name):
    nodes = [
        node(name, lr=rate, settings=each) for rate, each in zip(RATES, SETTINGS[name], strict=True)
    ]
    assert structure(nodes[0], "optimizer") == structure({**nodes[0], "lr": 0.5}, "optimizer")
    found = ours(nodes)
    for member, (rate, settings) in enumerate(zip(RATES, SETTINGS[name], strict=True)):
        reference = theirs(name, member, rate, settings)
        torch.testing.assert_close(found[member], reference, rtol=1e-12, atol=1e-12)
    single = ours(nodes, torch.float32)  # learning rates are not rounded to fp32 on the way
    for member, (rate, settings) in enumerate(zip(RATES, SETTINGS[name], strict=True)):
        reference = theirs(name, member, rate, settings, torch.float32)
        torch.testing.assert_close(single[member], reference, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Adagrad"])
def test_weight_decay_may_spare_biases(name):
    settings = {"weight_decay": 0.1}
    nodes = [node(name, settings=settings, decay_biases=False)] * 2
    found = ours(nodes, spare=True)
    for member in range(2):
        reference = theirs(name, member, 0.01, settings, spare=True)
        torch.testing.assert_close(found[member], reference, rtol=1e-12, atol=1e-12)
    assert not torch.equal(found[:, BIASES], ours(nodes)[:, BIASES])
    assert of_members([node("Rprop", decay_biases=False)] * 2).sparing(BIASES).spared is None


def test_only_numbers_that_stay_zero_or_not_may_differ_in_a_group():
    one = node("SGD", settings={"momentum": 0.9, "nesterov": False})

    def same(**settings):
        other = {**one, "settings": {**one["settings"], **settings}}
        return structure(one, "optimizer") == structure(other, "optimizer")

    assert same(momentum=0.5)
    assert not same(momentum=0.0)  # without momentum torch keeps no state
    assert not same(nesterov=True)
    assert not same(dampening=0.1)
    assert structure(one, "optimizer") != structure({**one, "name": "RMSprop"}, "optimizer")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "LBFGS"}, "name LBFGS needs more than flat rows.*use AdamW"),
        ({"name": "Muon"}, "orthogonalizes each matrix"),
        ({"name": "adamw"}, "name must be one of ASGD, .*got 'adamw'"),
        ({"lr": 0.0}, "lr must be greater than 0, got 0.0"),
        ({"settings": {"momentum": 0.9}}, "AdamW has no 'momentum'; it takes betas, eps"),
        ({"settings": {"fused": True}}, "AdamW has no 'fused'"),
        ({"settings": {"betas": 0.9}}, "settings.betas of AdamW must be a list of 2 numbers"),
        ({"settings": {"betas": [0.9, 1.5]}}, "AdamW refuses its settings: Invalid beta"),
        ({"settings": {"weight_decay": -1}}, "AdamW refuses its settings: Invalid weight_decay"),
        ({"settings": {"weight_decay": True}}, "weight_decay of AdamW must be a finite number"),
        ({"settings": {"eps": float("nan")}}, "settings.eps of AdamW must be a finite number"),
        ({"settings": {"amsgrad": 1}}, "settings.amsgrad of AdamW must be true or false"),
        ({"settings": 3}, "settings must be a mapping, got 3"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(StudyError, match=f"optimizer: .*{message}"):
        build(node(**changes), "optimizer")


def test_null_means_torchs_own_default():
    assert Torch(name="Adam", lr=0.1, settings={"betas": None}, decay_biases=True).settings == [{}]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_schedule_acts_as_torchs_own(name):
    """But for Rprop, which uses its learning rate at the first update only."""
    schedule = {"_target_": "study.schedules.step.Step", "every": 10, "gamma": 0.5}
    if name == "Rprop":
        with pytest.raises(StudyError, match="Rprop cannot follow a schedule"):
            check_schedule(schedule, node(name), UPDATES)
        return
    check_schedule(schedule, node(name), UPDATES)
    built = build_for_members([schedule] * 2, "schedule", torch.device("cpu"), torch.float64)
    optimizer, params = of_members([node(name)] * 2), start(2)
    leaf = params[0].clone().requires_grad_()
    reference = getattr(torch.optim, name)([leaf], lr=0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(reference, 10, 0.5)
    state = optimizer.init(params)
    for update, grads in enumerate(gradients(2)):
        params, state = optimizer.scaled(built(update, UPDATES, None))(grads, params, state)
        leaf.grad = grads[0].clone()
        reference.step()
        scheduler.step()
    torch.testing.assert_close(params[0], leaf.detach(), rtol=1e-12, atol=1e-12)
