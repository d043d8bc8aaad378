"""The rules that every initializer keeps, and the formula measured."""

from __future__ import annotations

import pytest
import torch
from skeleton import Skeleton

from study.battery.initializers import check_initializer
from study.battery.shared import init_facts
from study.interfaces import Block


def test_it_keeps_the_rules_of_initializers():
    check_initializer(Skeleton(alpha=0.5))


def test_the_formula():
    block, drawn = (
        Block(role="recurrent", gate="h", shape=(256, 256), layer=1),
        torch.Generator().manual_seed(0),
    )
    values = Skeleton(alpha=0.6)(block, drawn, init_facts(hidden=256))
    noise = values - 0.6 * torch.eye(256, dtype=torch.float64)
    assert float(noise.mean()) == pytest.approx(0, abs=0.002)
    assert float(noise.std()) == pytest.approx(0.8 / 16, rel=0.02)
