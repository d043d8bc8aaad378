"""Test the model alone, and as a study trains it."""

from pathlib import Path

import torch
from skeleton import Skeleton

import study
from study.battery import check_model


def test_padding_changes_nothing():
    torch.manual_seed(0)
    net = Skeleton(3, 8, 2, 0.0)
    x, lengths = torch.randn(4, 10, 3), torch.tensor([10, 4, 7, 1])
    other = x.clone()
    other[1, 4:] = 9.0
    assert torch.equal(net(x, lengths), net(other, lengths))


def test_battery(tmp_path):
    plan = study.plan(
        None,
        "tracker=[]",
        "updates=6",
        f"store.folder={tmp_path}",
        model="skeleton",
        seed=range(3),
        config_dirs=[Path(__file__).parent],
    )
    check_model(plan.points)
