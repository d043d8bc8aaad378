"""LSTM layer, gates i, f, g, o: c_t = f⊙c_{t-1} + i⊙g, h_t = o⊙tanh(c_t)."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from study.interfaces import Cell, Params
from study.kernels.reach import REACH
from study.kernels.triton.blocks import (
    add_product,
    add_whole_product,
    ours,
    put,
    sigmoid,
    squares,
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
    """gates [M, T, B, 4H]: what the input gives, then i, f, g, o; across [M, H, 4H] = W_hᵀ, h and c
    [M, T + 1, B, H] with h_0 and c_0 in place.
    """
    member, rows, row_ok, units, unit_ok = ours(batch, ROWS, HIDDEN, WIDTH)
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
            some = first + tl.arange(0, DEEP)
            there = some < HIDDEN
            before = tile(h, HIDDEN, rows, row_ok, some, there)
            i = add_product(
                i, before, tile(across, 4 * HIDDEN, some, there, units, unit_ok), PRECISION
            )
            f = add_product(
                f, before, tile(across + HIDDEN, 4 * HIDDEN, some, there, units, unit_ok), PRECISION
            )
            g = add_product(
                g,
                before,
                tile(across + 2 * HIDDEN, 4 * HIDDEN, some, there, units, unit_ok),
                PRECISION,
            )
            o = add_product(
                o,
                before,
                tile(across + 3 * HIDDEN, 4 * HIDDEN, some, there, units, unit_ok),
                PRECISION,
            )
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        state = f * state + i * g
        put(gates, 4 * HIDDEN, rows, row_ok, units, unit_ok, i)
        put(gates + HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok, f)
        put(gates + 2 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok, g)
        put(gates + 3 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok, o)
        gates += batch * 4 * HIDDEN
        h += batch * HIDDEN
        c += batch * HIDDEN
        put(c, HIDDEN, rows, row_ok, units, unit_ok, state)
        put(h, HIDDEN, rows, row_ok, units, unit_ok, o * tanh(state))
        tl.debug_barrier()


@triton.jit(do_not_specialize=["steps", "batch"])
def backward(
    dz,
    gates,
    c,
    weight,
    dh_out,
    reach,
    steps,
    batch,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    DEEP: tl.constexpr,
    ROWS: tl.constexpr,
    PRECISION: tl.constexpr,
    REACHED: tl.constexpr,
):
    """Writes dz [M, T, B, 4H] and reach [M, T, B]; weight [M, 4H, H], dh_out [M, T, B, H].

    dc: gradient of c_t, h apart.
    """
    member, rows, row_ok, units, unit_ok = ours(batch, ROWS, HIDDEN, WIDTH)
    weight += member * 4 * HIDDEN * HIDDEN
    last = (member * steps + steps - 1) * batch
    gates += last * 4 * HIDDEN
    dz += last * 4 * HIDDEN
    dh_out += last * HIDDEN
    reach += last
    c += (member * (steps + 1) + steps) * batch * HIDDEN
    dh = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    dc = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for _ in range(steps):
        dh += tile(dh_out, HIDDEN, rows, row_ok, units, unit_ok)
        if REACHED:
            tl.store(reach + rows, squares(dh), mask=row_ok)
        i = tile(gates, 4 * HIDDEN, rows, row_ok, units, unit_ok)
        f = tile(gates + HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok)
        g = tile(gates + 2 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok)
        o = tile(gates + 3 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok)
        shown = tanh(tile(c, HIDDEN, rows, row_ok, units, unit_ok))
        c -= batch * HIDDEN
        before = tile(c, HIDDEN, rows, row_ok, units, unit_ok)
        dc += dh * o * (1.0 - shown * shown)
        put(dz, 4 * HIDDEN, rows, row_ok, units, unit_ok, dc * g * i * (1.0 - i))
        put(dz + HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok, dc * before * f * (1.0 - f))
        put(dz + 2 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok, dc * i * (1.0 - g * g))
        put(dz + 3 * HIDDEN, 4 * HIDDEN, rows, row_ok, units, unit_ok, dh * shown * o * (1.0 - o))
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
        reach -= batch


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
        reach: Tensor | None,
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
            dh if reach is None else reach,
            REACHED=reach is not None,
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
        reach=params.get(REACH),
    )
