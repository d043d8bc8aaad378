"""The rules that every block keeps, and the equation by hand."""

from __future__ import annotations

import torch
from skeleton import Skeleton

from study.battery.blocks import check_block


def test_it_keeps_the_rules_of_blocks():
    check_block(Skeleton(scale=0.5))


def test_the_equation():
    drawn = torch.Generator().manual_seed(0)
    W, b, x, h = (
        torch.randn(size, dtype=torch.float64, generator=drawn)
        for size in ((3, 3), (3,), (3,), (3,))
    )
    params = {"weight": W[None], "bias": b[None]}
    found = Skeleton(scale=0.5).after(params, x[None, None, None], h[None, None, None])
    torch.testing.assert_close(found[0, 0, 0], x + 0.5 * torch.tanh(W @ h + b))
