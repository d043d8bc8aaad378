"""The plain kernel: one `step` after the other, any cell. Every faster kernel must equal it."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Cell, Params, State
from study.kernels.reach import REACH, Tap


def unroll(
    cell: Cell, params: Params, x: Tensor, hidden: int, *, taps: bool, first: State | None = None
) -> list[State]:
    """States after each step for x [M, T, B, D], from the states `first` (None: zero); each state
    is [M, B, H].

    With `taps` every state is a node of its own in the graph, taken after the step is complete: the
    gradient at the tap of c_t then leaves out the path through h_t, so that h and c are independent
    coordinates.
    """
    members, _, batch, _ = x.shape
    state: State = (
        tuple(x.new_zeros(members, batch, hidden) for _ in cell.states) if first is None else first
    )
    states = []
    reach = params.get(REACH)
    for t, x_t in enumerate(cell.project(params, x).unbind(1)):
        state = cell.step(params, x_t, state)
        if reach is not None:
            state = (Tap.apply(state[0], reach[:, t]), *state[1:])
        if taps:
            state = tuple(part.view_as(part) for part in state)
        states.append(state)
    return states


def outputs(cell: Cell, params: Params, x: Tensor, hidden: int) -> Tensor:
    """h [M, T, B, H] of all steps."""
    return torch.stack([state[0] for state in unroll(cell, params, x, hidden, taps=False)], dim=1)
