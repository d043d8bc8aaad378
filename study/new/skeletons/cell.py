"""A cell of your own: one layer's recurrence, for M networks at once."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Cell, Parameter, Params, State, require
from study.numerics.linear import linear


class Skeleton(Cell):
    """h_t = (1-a) h_{t-1} + a tanh(W_x x_t + W_h h_{t-1} + b), a leaky cell with one rate a for all
    units.

    The contract (study/interfaces.py): members come first and never mix, so no reduction over axis
    0; states start at zero; nothing is kept on self between steps. `shapes` names every tensor with
    its role, and its gates in the order of their blocks. A cell with gates also tells `keep` (which
    gate keeps the past, and in which direction its bias does so) and `gates`.
    """

    def __init__(self, *, rate: float) -> None:
        require(0 < rate <= 1, "skeleton", "rate", "above 0 and at most 1", rate)
        self.rate = rate

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight_x", "input", ("h",), (hidden, inputs)),
            Parameter("weight_h", "recurrent", ("h",), (hidden, hidden)),
            Parameter("bias", "bias", ("h",), (hidden,)),
        )

    def project(self, params: Params, x: Tensor) -> Tensor:
        """W_x x_t + b of all steps at once: [M, T, B, D] -> [M, T, B, H].

        `linear` gives the same bits in any company.
        """
        return linear(x, params["weight_x"], params["bias"])

    def step(self, params: Params, x: Tensor, state: State) -> State:
        """x [M, B, H]: one step of `project`; state: one [M, B, H] for each name in `states`."""
        (h,) = state
        new = torch.tanh(torch.baddbmm(x, h, params["weight_h"].transpose(1, 2)))
        return (h + self.rate * (new - h),)
