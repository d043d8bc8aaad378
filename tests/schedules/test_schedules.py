"""Schedules equal those of torch.optim.lr_scheduler."""

from __future__ import annotations

import itertools
import warnings

import pytest
import torch

from study.config.check import check_schedule
from study.interfaces import Optimizer, in_updates, per_member
from study.optimizers.adam import Adam
from study.records import StudyError
from study.schedules.exponential import Exponential
from study.schedules.one_cycle import OneCycle
from study.schedules.plateau import Plateau
from study.schedules.step import Step
from study.schedules.warmup_cosine import WarmupCosine

UPDATES = 100
ADAM = {
    "_target_": "study.optimizers.adam.Adam",
    "lr": 0.01,
    "beta1": 0.9,
    "beta2": 0.999,
    "eps": 1e-8,
    "weight_decay": 0.0,
}


def warmup_cosine(optimizer):
    schedulers = torch.optim.lr_scheduler
    rising = schedulers.LinearLR(optimizer, 0.1, 1.0, total_iters=20)
    falling = schedulers.CosineAnnealingLR(optimizer, UPDATES - 20, eta_min=0.05 * 0.3)
    return schedulers.SequentialLR(optimizer, [rising, falling], milestones=[20])


CASES = {
    "step": (
        Step(every=0.3, gamma=0.1),
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 30, 0.1),
    ),
    "exponential": (
        Exponential(end=0.01),
        lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.01 ** (1 / UPDATES)),
    ),
    "warmup_cosine": (WarmupCosine(warmup=0.2, start=0.1, end=0.05), warmup_cosine),
    "cosine": (
        WarmupCosine(warmup=0, start=0.1, end=0.0),
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES),
    ),
    "one_cycle": (
        OneCycle(warmup=30, start=0.04, end=4e-6),
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 0.3, UPDATES, cycle_momentum=False
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_factors_are_those_of_torch(name):
    schedule, make = CASES[name]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR calls its schedulers in the old way
        scheduler = make(optimizer)
        schedule.check(UPDATES)
        for update in range(UPDATES):
            rate = 0.3 * float(schedule(update, UPDATES, None))
            assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-12)
            optimizer.step()
            if update + 1 < UPDATES:
                scheduler.step()


@pytest.mark.parametrize(
    ("patience", "cooldown", "floor"), list(itertools.product((0, 2), (0, 3), (0.0, 0.2)))
)
def test_a_plateau_is_that_of_torch(patience, cooldown, floor):
    settings = {"threshold": 0.05, "cooldown": cooldown, "patience": patience}
    schedule = Plateau(gamma=0.5, floor=floor, **settings)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, min_lr=0.3 * floor, eps=0.0, **settings
    )
    losses = torch.rand(60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    losses = losses + 3 * 0.8 ** torch.arange(60)
    losses[40] = torch.nan
    state, rates = schedule.init(1), []
    for loss in losses:
        state = schedule.validated(loss[None], state)
        scheduler.step(float(loss))
        rates.append(optimizer.param_groups[0]["lr"])
        assert 0.3 * float(schedule(0, 1, state)) == pytest.approx(rates[-1])
    assert len(set(rates)) > 1


def test_lengths_below_1_are_shares_and_others_updates():
    lengths = torch.tensor([0.0, 0.25, 1.0, 30.0])
    assert in_updates(lengths, 40).tolist() == [0, 10, 1, 30]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": "step.Step", "every": 0.0, "gamma": 0.1}, "every must be greater than 0"),
        ({"_target_": "step.Step", "every": 2.5, "gamma": 0.1}, "every must be a share of the upd"),
        (
            {"_target_": "step.Step", "every": 5, "gamma": 2.0},
            "gamma must be greater than 0 and at",
        ),
        ({"_target_": "exponential.Exponential", "end": 0.0}, "end must be greater than 0"),
        (
            {"_target_": "warmup_cosine.WarmupCosine", "warmup": 50, "start": 0.1, "end": 0.0},
            "warmup must be shorter than the run of 50 updates, got 50",
        ),
        (
            {"_target_": "one_cycle.OneCycle", "warmup": 0.3, "start": -1, "end": 0.0},
            "start must be from 0 to 1",
        ),
        (
            {"_target_": "plateau.Plateau", "gamma": 0.5, "patience": 1.5, "threshold": 0.0}
            | {"cooldown": 0, "floor": 0.0},
            "patience must be a whole number of validations",
        ),
    ],
)
def test_impossible_settings_are_refused(node, message):
    with pytest.raises(StudyError, match=f"schedule: .*{message}"):
        check_schedule({**node, "_target_": f"study.schedules.{node['_target_']}"}, ADAM, 50)


class Hidden(Optimizer):
    """An optimizer of somebody's own that keeps its learning rate where no schedule finds it."""

    def __init__(self, *, rate: float) -> None:
        self.rate = rate

    def init(self, params):
        return {}

    def __call__(self, grads, params, state):
        return params - self.rate * grads, state


class Deaf(Hidden):
    def __init__(self, *, rate: float) -> None:
        super().__init__(rate=rate)
        self.lr = per_member(rate)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Hidden", "Hidden cannot follow a schedule: it keeps no tensor `lr`"),
        ("Deaf", "Deaf cannot follow a schedule, since its updates do not depend"),
    ],
)
def test_an_optimizer_that_cannot_follow_is_refused(name, message):
    schedule = {"_target_": "study.schedules.exponential.Exponential", "end": 0.1}
    with pytest.raises(StudyError, match=f"optimizer: {message}"):
        check_schedule(schedule, {"_target_": f"{__name__}.{name}", "rate": 0.1}, 10)


def test_a_factor_is_a_learning_rate():
    """Each member's own, and a factor of 1 changes no bit."""
    settings = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.0, "decay_biases": True}
    params = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    whole, half = (Adam(lr=torch.tensor([0.01, rate]), **settings) for rate in (0.02, 0.01))
    scaled = whole.scaled(torch.tensor([1.0, 0.5], dtype=torch.float64))
    for one, other in ((scaled, half), (whole.scaled(torch.ones(2).double()), whole)):
        found, expected = (each(params, params, each.init(params))[0] for each in (one, other))
        assert torch.equal(found, expected)
