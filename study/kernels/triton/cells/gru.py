"""GRU layer, reset before the product, gates r, z, n: n = tanh(z_n + W_n (r⊙h_{t-1})), h_t =
h_{t-1} + z⊙(n - h_{t-1}).
"""

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
    reset,
    steps,
    batch,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    DEEP: tl.constexpr,
    ROWS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """gates [M, T, B, 3H]: what the input gives, then r, z, n; across [M, 3, H, H], a W_hᵀ a gate;
    h [M, T + 1, B, H]; reset [M, T, B, H]: r⊙h_{t-1}.
    """
    member, rows, row_ok, units, unit_ok = ours(batch, ROWS, HIDDEN, WIDTH)
    across += member * 3 * HIDDEN * HIDDEN
    gates += member * steps * batch * 3 * HIDDEN
    reset += member * steps * batch * HIDDEN
    h += member * (steps + 1) * batch * HIDDEN
    state = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for _ in range(steps):
        r = tile(gates, 3 * HIDDEN, rows, row_ok, units, unit_ok)
        z = tile(gates + HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok)
        n = tile(gates + 2 * HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok)
        for first in range(0, HIDDEN, DEEP):
            some = first + tl.arange(0, DEEP)
            there = some < HIDDEN
            before = tile(h, HIDDEN, rows, row_ok, some, there)
            r = add_product(r, before, tile(across, HIDDEN, some, there, units, unit_ok), PRECISION)
            z = add_product(
                z,
                before,
                tile(across + HIDDEN * HIDDEN, HIDDEN, some, there, units, unit_ok),
                PRECISION,
            )
        r, z = sigmoid(r), sigmoid(z)
        put(reset, HIDDEN, rows, row_ok, units, unit_ok, r * state)
        tl.debug_barrier()
        candidate = across + 2 * HIDDEN * HIDDEN
        n = tanh(
            add_whole_product(
                n,
                reset,
                HIDDEN,
                candidate,
                rows,
                row_ok,
                units,
                unit_ok,
                HIDDEN,
                HIDDEN,
                DEEP,
                PRECISION,
            )
        )
        state += z * (n - state)
        put(gates, 3 * HIDDEN, rows, row_ok, units, unit_ok, r)
        put(gates + HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok, z)
        put(gates + 2 * HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok, n)
        gates += batch * 3 * HIDDEN
        reset += batch * HIDDEN
        h += batch * HIDDEN
        put(h, HIDDEN, rows, row_ok, units, unit_ok, state)
        tl.debug_barrier()


@triton.jit(do_not_specialize=["steps", "batch"])
def backward(
    dz,
    gates,
    h,
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
    """Writes dz [M, T, B, 3H] and reach [M, T, B]; weight [M, 3H, H], h [M, T + 1, B, H], dh_out
    [M, T, B, H].
    """
    member, rows, row_ok, units, unit_ok = ours(batch, ROWS, HIDDEN, WIDTH)
    weight += member * 3 * HIDDEN * HIDDEN
    last = (member * steps + steps - 1) * batch
    gates += last * 3 * HIDDEN
    dz += last * 3 * HIDDEN
    dh_out += last * HIDDEN
    reach += last
    h += (member * (steps + 1) + steps - 1) * batch * HIDDEN
    dh = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for _ in range(steps):
        dh += tile(dh_out, HIDDEN, rows, row_ok, units, unit_ok)
        if REACHED:
            tl.store(reach + rows, squares(dh), mask=row_ok)
        r = tile(gates, 3 * HIDDEN, rows, row_ok, units, unit_ok)
        z = tile(gates + HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok)
        n = tile(gates + 2 * HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok)
        before = tile(h, HIDDEN, rows, row_ok, units, unit_ok)
        put(
            dz + HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok, dh * (n - before) * z * (1.0 - z)
        )
        put(dz + 2 * HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok, dh * z * (1.0 - n * n))
        tl.debug_barrier()
        back = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
        candidate = weight + 2 * HIDDEN * HIDDEN
        back = add_whole_product(
            back,
            dz + 2 * HIDDEN,
            3 * HIDDEN,
            candidate,
            rows,
            row_ok,
            units,
            unit_ok,
            HIDDEN,
            HIDDEN,
            DEEP,
            PRECISION,
        )
        put(dz, 3 * HIDDEN, rows, row_ok, units, unit_ok, back * before * r * (1.0 - r))
        dh = dh - dh * z + back * r
        tl.debug_barrier()
        dh = add_whole_product(
            dh,
            dz,
            3 * HIDDEN,
            weight,
            rows,
            row_ok,
            units,
            unit_ok,
            2 * HIDDEN,
            HIDDEN,
            DEEP,
            PRECISION,
        )
        gates -= batch * 3 * HIDDEN
        dz -= batch * 3 * HIDDEN
        dh_out -= batch * HIDDEN
        reach -= batch
        h -= batch * HIDDEN


class GRUPasses(Passes):
    def forward(
        self, launch: Launch, z: Tensor, weight_h: Tensor, more: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        h, reset = launch.states(z), z.new_empty(*z.shape[:3], launch.hidden)
        launch(
            forward,
            z,
            weight_h.unflatten(1, (3, launch.hidden)).transpose(2, 3).contiguous(),
            h,
            reset,
        )
        return h, (reset,)

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
            h,
            weight_h,
            dh,
            dh if reach is None else reach,
            REACHED=reach is not None,
        )
        drz, dn = dz.split(2 * launch.hidden, dim=-1)
        return (
            dz,
            torch.cat([launch.summed(drz, h[:, :-1]), launch.summed(dn, kept[0])], dim=1),
            None,
        )


def layer(cell: Cell, params: Params, x: Tensor) -> Tensor:
    """h [M, T, B, H] of study.cells.gru.GRU."""
    return run(
        GRUPasses(),
        x,
        params["weight_x"],
        params["weight_h"],
        params["bias"],
        reach=params.get(REACH),
    )
