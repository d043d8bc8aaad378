"""The rules that every encoder keeps, and the equation by hand."""

from __future__ import annotations

import torch
from skeleton import Skeleton

from study.battery.encoders import check_encoder


def test_it_keeps_the_rules_of_encoders():
    check_encoder(Skeleton(width=16))


def test_the_equation():
    drawn = torch.Generator().manual_seed(0)
    W, b, x = (
        torch.randn(size, dtype=torch.float64, generator=drawn) for size in ((4, 3), (4,), (3,))
    )
    found = Skeleton(width=4)({"weight": W[None], "bias": b[None]}, x[None, None, None])
    torch.testing.assert_close(found[0, 0, 0], torch.tanh(W @ x + b))
