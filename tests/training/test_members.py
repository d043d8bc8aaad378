"""Members that leave a group take nothing with them: those that stay end bit for bit as if all had
stayed.
"""

from __future__ import annotations

import pytest
import torch

from study.training.loop import train
from study.training.members import keep_members
from study.training.state import prepare
from tests.support.helpers import point

CLIPS = [
    {"_target_": "study.clipping.norm.Norm", "threshold": 0.05},
    {"_target_": "study.clipping.value.Value", "threshold": 0.001},
    {"_target_": "study.clipping.none.NoClip"},
]
OPTIMIZERS = {
    "adam": {
        "_target_": "study.optimizers.adam.Adam",
        "lr": 0.004,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.0,
    },
    "sgd": {
        "_target_": "study.optimizers.sgd.SGD",
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 0.0,
    },
}


def points(optimizer: str):
    """Four members with clip rules of three classes and rates of their own."""
    node = OPTIMIZERS[optimizer]
    return [
        point(
            seed,
            hidden=16,
            updates=12,
            clip=CLIPS[seed % 3],
            optimizer={**node, "lr": node["lr"] * (1 + seed)},
        )
        for seed in range(4)
    ]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("stay", [[0, 2, 3], [1, 3], [2]])
def test_those_that_stay_end_as_if_all_had(optimizer, stay):
    everyone = prepare(points(optimizer), "cpu")
    train(everyone, lambda update: None)
    training = prepare(points(optimizer), "cpu")
    train(training, lambda update: keep_members(training, stay) if update == 6 else None)
    assert len(training.points) == max(len(stay), 2)
    for here, member in enumerate(stay):
        assert training.points[here].seed == member
        for name in ("params", "best_params", "best_score"):
            assert torch.equal(getattr(training, name)[here], getattr(everyone, name)[member]), name
        for name in ("losses", "norms", "scales"):
            assert [float(each[here]) for each in getattr(training, name)] == [
                float(each[member]) for each in getattr(everyone, name)
            ], name
        states = [
            measured.states["network"][here]["D"]
            for measured in training.measured
            if "network" in measured.states
        ]
        assert states == [
            measured.states["network"][member]["D"]
            for measured in everyone.measured
            if "network" in measured.states
        ]


def test_training_ends_where_the_report_says_so():
    training = prepare(points("adam"), "cpu")
    train(training, lambda update: update == 3)
    assert len(training.losses) == 3
