"""A readout of your own: from the states of the top layer to outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Parameter, Params, Readout
from study.numerics.linear import linear


class Skeleton(Readout):
    """y = W max_t h_t + b: for each unit, its largest value over the example's own steps.

    The contract (study/interfaces.py): members come first and never mix; steps at and beyond an
    example's length are padding and count for nothing. `every_step` must agree with the task's:
    False gives outputs [M, B, O], True gives [M, B, T, O]. `last_step_only` states that nothing but
    the last valid step is read, and such a readout may be given that step alone.
    """

    every_step = False
    last_step_only = False

    def shapes(self, hidden: int, outputs: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight", "readout", ("y",), (outputs, hidden)),
            Parameter("bias", "bias", ("y",), (outputs,)),
        )

    def __call__(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        """h [M, T, B, H], lengths [M, B] -> [M, B, O]."""
        if lengths is not None:
            steps = torch.arange(h.shape[1], device=h.device)[:, None]
            padding = steps >= lengths[:, None]  # [M, T, B]
            h = h.masked_fill(padding[..., None], -torch.inf)
        largest = h.max(dim=1).values  # [M, B, H]
        return linear(largest[:, None], params["weight"], params["bias"])[:, 0]
