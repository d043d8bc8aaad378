"""The reference kernel: calls `step` in a loop, for any cell. Faster kernels must equal it."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Cell, Params, State
from study.kernels.step_norms import STEP_NORMS, RecordNorms


def unroll(
    cell: Cell, params: Params, x: Tensor, hidden: int, *, taps: bool, first: State | None = None
) -> list[State]:
    """States [M, B, H] after each step for x [M, T, B, D], from the states `first` (None: zeros).

    With `taps`, each state becomes a separate node of the graph after its step is complete: the
    gradient at c_t then leaves out the path through h_t, so that h and c are independent
    coordinates.
    """
    members, _, batch, _ = x.shape
    state: State = (
        tuple(x.new_zeros(members, batch, width) for width in cell.widths(hidden))
        if first is None
        else first
    )
    states = []
    step_norms = params.get(STEP_NORMS)
    for t, x_t in enumerate(cell.project(params, x).unbind(1)):
        state = cell.step(params, x_t, state)
        if step_norms is not None:
            state = (RecordNorms.apply(state[0], step_norms[:, t]), *state[1:])
        if taps:
            state = tuple(part.view_as(part) for part in state)
        states.append(state)
    return states


def outputs(cell: Cell, params: Params, x: Tensor, hidden: int) -> Tensor:
    """h [M, T, B, H] of all steps."""
    return torch.stack([state[0] for state in unroll(cell, params, x, hidden, taps=False)], dim=1)
