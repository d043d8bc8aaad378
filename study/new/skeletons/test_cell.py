"""The rules that every cell keeps, and the equation by hand."""

from __future__ import annotations

import torch
from skeleton import Skeleton

from study.battery.cells import check_cell


def test_it_keeps_the_rules_of_cells():
    check_cell(Skeleton(rate=0.5))


def test_the_equation():
    cell, drawn = Skeleton(rate=0.3), torch.Generator().manual_seed(0)
    params = {
        one.name: torch.randn(1, *one.shape, dtype=torch.float64, generator=drawn)
        for one in cell.shapes(2, 4)
    }
    x, h = (torch.randn(size, dtype=torch.float64, generator=drawn) for size in (2, 4))
    (after,) = cell.step(params, cell.project(params, x[None, None, None])[:, 0], (h[None, None],))
    W_x, W_h, b = (params[name][0] for name in ("weight_x", "weight_h", "bias"))
    torch.testing.assert_close(after[0, 0], 0.7 * h + 0.3 * torch.tanh(W_x @ x + W_h @ h + b))
