"""The rules that every penalty keeps, and the equation by hand."""

from __future__ import annotations

import torch
from skeleton import Skeleton

from study.battery.penalties import check_penalty
from study.cells.rnn import RNN
from study.interfaces import LayerPass, UpdatePass


def test_it_keeps_the_rules_of_penalties():
    check_penalty(lambda members: Skeleton(strength=torch.full((members,), 0.01)))


def test_the_equation():
    h = torch.tensor([3.0, 4.0]).expand(1, 2, 3, 2)  # ‖h_t‖² / H = 12.5 at both steps
    layer = LayerPass(params={}, roles={}, x=h, before=(h,), after=(h,), gradients=(h,))
    valid = torch.tensor([[[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]]])
    update = UpdatePass(
        cell=RNN(nonlinearity="tanh"), params={}, roles={}, layers=[layer, layer], valid=valid
    )
    torch.testing.assert_close(Skeleton(strength=0.1)(update), torch.tensor([0.1 * 2 * 12.5]))
