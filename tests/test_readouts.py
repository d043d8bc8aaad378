"""Readouts against their formula, example by example and step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from study.interfaces import Readout
from study.readouts.every import Every
from study.readouts.last import Last

M, T, B, H = 2, 7, 3, 5


def made(readout: Readout, outputs: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    params = {each.name: torch.randn(M, *each.shape, dtype=torch.float64, generator=random) for each in readout.shapes(H, outputs)}
    return params, torch.randn(M, T, B, H, dtype=torch.float64, generator=random)


@pytest.mark.parametrize("outputs", [1, 4])
def test_every_step_in_order(outputs):
    params, h = made(Every(), outputs)
    found = Every()(params, h, None)
    assert found.shape == (M, B, T, outputs)
    for m, b, t in np.ndindex(M, B, T):
        torch.testing.assert_close(found[m, b, t], params["weight"][m] @ h[m, t, b] + params["bias"][m])


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("lengths", [None, [[7, 1, 4], [2, 7, 6]]])
def test_last_valid_step_of_each_example(outputs, lengths):
    params, h = made(Last(), outputs)
    found = Last()(params, h, None if lengths is None else torch.tensor(lengths))
    assert found.shape == (M, B, outputs)
    for m, b in np.ndindex(M, B):
        last = (lengths[m][b] if lengths else T) - 1
        torch.testing.assert_close(found[m, b], params["weight"][m] @ h[m, last, b] + params["bias"][m])


@pytest.mark.parametrize("readout", [Every(), Last()], ids=lambda readout: type(readout).__name__)
def test_the_standing_rule_of_readouts_applies_to_the_weight(readout):
    assert {each.name: (each.role, each.shape) for each in readout.shapes(H, 4)} == {"weight": ("readout", (4, H)), "bias": ("bias", (4,))}
