"""Plain recurrent layer: h_t = φ(z_t + W_h h_{t-1}), φ tanh or ReLU, z = W_x x + b."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from study.interfaces import Cell, Params
from study.kernels.step_norms import STEP_NORMS
from study.kernels.triton.blocks import (
    add_whole_product,
    program,
    squared_norms,
    store_tile,
    tanh,
    tile,
)
from study.kernels.triton.passes import Launch, Passes, run


@triton.jit(do_not_specialize=["steps", "batch"])
def forward(
    z,
    across,
    h,
    steps,
    batch,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    DEEP: tl.constexpr,
    ROWS: tl.constexpr,
    PRECISION: tl.constexpr,
    RELU: tl.constexpr,
):
    """z [M, T, B, H], across [M, H, H] = W_hᵀ, h [M, T + 1, B, H] with h_0."""
    member, rows, row_ok, units, unit_ok = program(batch, ROWS, HIDDEN, WIDTH)
    across += member * HIDDEN * HIDDEN
    z += member * steps * batch * HIDDEN
    h += member * (steps + 1) * batch * HIDDEN
    for _ in range(steps):
        state = tile(z, HIDDEN, rows, row_ok, units, unit_ok)
        state = add_whole_product(
            state, h, HIDDEN, across, rows, row_ok, units, unit_ok, HIDDEN, HIDDEN, DEEP, PRECISION
        )
        # keeps NaN visible
        state = tl.where(state < 0.0, 0.0, state) if RELU else tanh(state)
        z += batch * HIDDEN
        h += batch * HIDDEN
        store_tile(h, HIDDEN, rows, row_ok, units, unit_ok, state)
        tl.debug_barrier()


@triton.jit(do_not_specialize=["steps", "batch"])
def backward(
    dz,
    weight,
    h,
    dh_out,
    step_norms,
    steps,
    batch,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    DEEP: tl.constexpr,
    ROWS: tl.constexpr,
    PRECISION: tl.constexpr,
    RELU: tl.constexpr,
    RECORD_NORMS: tl.constexpr,
):
    """Writes dz [M, T, B, H] and step_norms [M, T, B].

    weight [M, H, H], h [M, T + 1, B, H], dh_out [M, T, B, H].
    """
    member, rows, row_ok, units, unit_ok = program(batch, ROWS, HIDDEN, WIDTH)
    weight += member * HIDDEN * HIDDEN
    last = (member * steps + steps - 1) * batch
    dz += last * HIDDEN
    dh_out += last * HIDDEN
    step_norms += last
    h += (member * (steps + 1) + steps) * batch * HIDDEN
    dh = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for _ in range(steps):
        dh += tile(dh_out, HIDDEN, rows, row_ok, units, unit_ok)
        if RECORD_NORMS:
            tl.store(step_norms + rows, squared_norms(dh), mask=row_ok)
        state = tile(h, HIDDEN, rows, row_ok, units, unit_ok)
        dh = tl.where(state > 0.0, dh, 0.0) if RELU else dh * (1.0 - state * state)
        store_tile(dz, HIDDEN, rows, row_ok, units, unit_ok, dh)
        tl.debug_barrier()
        dh = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
        dh = add_whole_product(
            dh, dz, HIDDEN, weight, rows, row_ok, units, unit_ok, HIDDEN, HIDDEN, DEEP, PRECISION
        )
        dz -= batch * HIDDEN
        dh_out -= batch * HIDDEN
        step_norms -= batch
        h -= batch * HIDDEN


@dataclass(frozen=True)
class RNNPasses(Passes):
    relu: bool

    def forward(
        self, launch: Launch, z: Tensor, weight_h: Tensor, more: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        h = launch.states(z)
        launch(forward, z, weight_h.transpose(1, 2).contiguous(), h, RELU=self.relu)
        return h, ()

    def backward(
        self,
        launch: Launch,
        dh: Tensor,
        step_norms: Tensor | None,
        weight_h: Tensor,
        gates: Tensor,
        h: Tensor,
        kept: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        dz = torch.empty_like(gates)
        launch(
            backward,
            dz,
            weight_h,
            h,
            dh,
            dh if step_norms is None else step_norms,
            RELU=self.relu,
            RECORD_NORMS=step_norms is not None,
        )
        return dz, launch.summed(dz, h[:, :-1]), None


def layer(cell: Cell, params: Params, x: Tensor) -> Tensor:
    """h [M, T, B, H] of study.cells.rnn.RNN."""
    passes = RNNPasses(cell.activation is torch.relu)
    return run(
        passes,
        x,
        params["weight_x"],
        params["weight_h"],
        params["bias"],
        step_norms=params.get(STEP_NORMS),
    )
