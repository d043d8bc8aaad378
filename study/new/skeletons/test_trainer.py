"""Test the network alone, and the trainer as a study calls it."""

from pathlib import Path

import torch
from skeleton import Skeleton

import study
from study.battery import check_trainer


def test_outputs_are_one_a_sequence():
    assert Skeleton(3, 8, 2)(torch.randn(4, 10, 3)).shape == (4, 2)


def test_battery(tmp_path):
    plan = study.plan(
        None,
        "tracker=[]",
        "updates=6",
        "hidden=8",
        f"store.folder={tmp_path}",
        trainer="skeleton",
        seed=range(3),
        config_dirs=[Path(__file__).parent],
    )
    check_trainer(plan.points)
