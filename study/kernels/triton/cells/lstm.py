"""LSTM layer, gates i, f, g, o: c_t = f⊙c_{t-1} + i⊙g, h_t = o⊙tanh(c_t)."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from study.interfaces import Cell, Params
from study.kernels.step_norms import STEP_NORMS
from study.kernels.triton.blocks import (
    add_product,
    add_whole_product,
    program,
    sigmoid,
    squared_norms,
    store_tile,
    tanh,
    tile,
)
from study.kernels.triton.passes import Launch, Passes, run


@triton.jit(do_not_specialize=["steps", "batch"])
def forward(
    gates,
    across,
    h,
    c,
    steps,
    batch,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    DEEP: tl.constexpr,
    ROWS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Writes h and c [M, T + 1, B, H], which hold h_0 and c_0.

    gates [M, T, B, 4H]: the projected input, replaced by i, f, g, o; across [M, H, 4H] = W_hᵀ.
    """
    member, rows, row_ok, units, unit_ok = program(batch, ROWS, HIDDEN, WIDTH)
    across += member * 4 * HIDDEN * HIDDEN
    gates += member * steps * batch * 4 * HIDDEN
    h += member * (steps + 1) * batch * HIDDEN
    c += member * (steps + 1) * batch * HIDDEN
    state = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for _ in range(steps):
        i = tile(gates, 4 * HIDDEN, rows, row_ok, units, unit_ok)
        f = tile(gates + HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok)
        g = tile(gates + 2 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok)
        o = tile(gates + 3 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok)
        for first in range(0, HIDDEN, DEEP):
            columns = first + tl.arange(0, DEEP)
            inside = columns < HIDDEN
            before = tile(h, HIDDEN, rows, row_ok, columns, inside)
            i = add_product(
                i, before, tile(across, 4 * HIDDEN, columns, inside, units, unit_ok), PRECISION
            )
            f = add_product(
                f,
                before,
                tile(across + HIDDEN, 4 * HIDDEN, columns, inside, units, unit_ok),
                PRECISION,
            )
            g = add_product(
                g,
                before,
                tile(across + 2 * HIDDEN, 4 * HIDDEN, columns, inside, units, unit_ok),
                PRECISION,
            )
            o = add_product(
                o,
                before,
                tile(across + 3 * HIDDEN, 4 * HIDDEN, columns, inside, units, unit_ok),
                PRECISION,
            )
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        state = f * state + i * g
        store_tile(gates, 4 * HIDDEN, rows, row_ok, units, unit_ok, i)
        store_tile(gates + HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok, f)
        store_tile(gates + 2 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok, g)
        store_tile(gates + 3 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok, o)
        gates += batch * 4 * HIDDEN
        h += batch * HIDDEN
        c += batch * HIDDEN
        store_tile(c, HIDDEN, rows, row_ok, units, unit_ok, state)
        store_tile(h, HIDDEN, rows, row_ok, units, unit_ok, o * tanh(state))
        tl.debug_barrier()


@triton.jit(do_not_specialize=["steps", "batch"])
def backward(
    dz,
    gates,
    c,
    weight,
    dh_out,
    step_norms,
    steps,
    batch,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    DEEP: tl.constexpr,
    ROWS: tl.constexpr,
    PRECISION: tl.constexpr,
    RECORD_NORMS: tl.constexpr,
):
    """Writes dz [M, T, B, 4H] and step_norms [M, T, B]; weight [M, 4H, H], dh_out [M, T, B, H].

    dc is the gradient of c_t with h_t held constant.
    """
    member, rows, row_ok, units, unit_ok = program(batch, ROWS, HIDDEN, WIDTH)
    weight += member * 4 * HIDDEN * HIDDEN
    last = (member * steps + steps - 1) * batch
    gates += last * 4 * HIDDEN
    dz += last * 4 * HIDDEN
    dh_out += last * HIDDEN
    step_norms += last
    c += (member * (steps + 1) + steps) * batch * HIDDEN
    dh = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    dc = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for _ in range(steps):
        dh += tile(dh_out, HIDDEN, rows, row_ok, units, unit_ok)
        if RECORD_NORMS:
            tl.store(step_norms + rows, squared_norms(dh), mask=row_ok)
        i = tile(gates, 4 * HIDDEN, rows, row_ok, units, unit_ok)
        f = tile(gates + HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok)
        g = tile(gates + 2 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok)
        o = tile(gates + 3 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok)
        tanh_c = tanh(tile(c, HIDDEN, rows, row_ok, units, unit_ok))
        c -= batch * HIDDEN
        before = tile(c, HIDDEN, rows, row_ok, units, unit_ok)
        dc += dh * o * (1.0 - tanh_c * tanh_c)
        store_tile(dz, 4 * HIDDEN, rows, row_ok, units, unit_ok, dc * g * i * (1.0 - i))
        store_tile(
            dz + HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok, dc * before * f * (1.0 - f)
        )
        store_tile(
            dz + 2 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok, dc * i * (1.0 - g * g)
        )
        store_tile(
            dz + 3 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok, dh * tanh_c * o * (1.0 - o)
        )
        dc *= f
        tl.debug_barrier()
        dh = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
        dh = add_whole_product(
            dh,
            dz,
            4 * HIDDEN,
            weight,
            rows,
            row_ok,
            units,
            unit_ok,
            4 * HIDDEN,
            HIDDEN,
            DEEP,
            PRECISION,
        )
        gates -= batch * 4 * HIDDEN
        dz -= batch * 4 * HIDDEN
        dh_out -= batch * HIDDEN
        step_norms -= batch


class LSTMPasses(Passes):
    def forward(
        self, launch: Launch, z: Tensor, weight_h: Tensor, more: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        h, c = launch.states(z), launch.states(z)
        launch(forward, z, weight_h.transpose(1, 2).contiguous(), h, c)
        return h, (c,)

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
            gates,
            kept[0],
            weight_h,
            dh,
            dh if step_norms is None else step_norms,
            RECORD_NORMS=step_norms is not None,
        )
        return dz, launch.summed(dz, h[:, :-1]), None


def layer(cell: Cell, params: Params, x: Tensor) -> Tensor:
    """h [M, T, B, H] of study.cells.lstm.LSTM."""
    return run(
        LSTMPasses(),
        x,
        params["weight_x"],
        params["weight_h"],
        params["bias"],
        step_norms=params.get(STEP_NORMS),
    )
