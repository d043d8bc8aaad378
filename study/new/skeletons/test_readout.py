"""The rules that every readout keeps, and the equation by hand."""

from __future__ import annotations

import torch
from skeleton import Skeleton

from study.battery.readouts import check_readout


def test_it_keeps_the_rules_of_readouts():
    check_readout(Skeleton())


def test_the_equation_leaves_padding_out():
    drawn = torch.Generator().manual_seed(0)
    W, b, h = (
        torch.randn(size, dtype=torch.float64, generator=drawn) for size in ((2, 4), (2,), (5, 4))
    )
    params = {"weight": W[None], "bias": b[None]}
    found = Skeleton()(params, h[None, :, None], torch.tensor([[3]]))
    torch.testing.assert_close(found[0, 0], W @ h[:3].amax(0) + b)
