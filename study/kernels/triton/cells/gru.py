"""GRU layer, reset before the product, gates r, z, n: n = tanh(z_n + W_n (r⊙h_{t-1})), h_t =
h_{t-1} + z⊙(n - h_{t-1}).
"""

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
    reset,
    steps,
    batch,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    DEEP: tl.constexpr,
    ROWS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Writes h [M, T + 1, B, H] and reset = r⊙h_{t-1} [M, T, B, H].

    gates [M, T, B, 3H]: the projected input, replaced by r, z, n; across [M, 3, H, H]: W_hᵀ of each
    gate.
    """
    member, rows, row_ok, units, unit_ok = program(batch, ROWS, HIDDEN, WIDTH)
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
            columns = first + tl.arange(0, DEEP)
            inside = columns < HIDDEN
            before = tile(h, HIDDEN, rows, row_ok, columns, inside)
            r = add_product(
                r, before, tile(across, HIDDEN, columns, inside, units, unit_ok), PRECISION
            )
            z = add_product(
                z,
                before,
                tile(across + HIDDEN * HIDDEN, HIDDEN, columns, inside, units, unit_ok),
                PRECISION,
            )
        r, z = sigmoid(r), sigmoid(z)
        store_tile(reset, HIDDEN, rows, row_ok, units, unit_ok, r * state)
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
        store_tile(gates, 3 * HIDDEN, rows, row_ok, units, unit_ok, r)
        store_tile(gates + HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok, z)
        store_tile(gates + 2 * HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok, n)
        gates += batch * 3 * HIDDEN
        reset += batch * HIDDEN
        h += batch * HIDDEN
        store_tile(h, HIDDEN, rows, row_ok, units, unit_ok, state)
        tl.debug_barrier()


@triton.jit(do_not_specialize=["steps", "batch"])
def backward(
    dz,
    gates,
    h,
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
    """Writes dz [M, T, B, 3H] and step_norms [M, T, B].

    weight [M, 3H, H], h [M, T + 1, B, H], dh_out [M, T, B, H].
    """
    member, rows, row_ok, units, unit_ok = program(batch, ROWS, HIDDEN, WIDTH)
    weight += member * 3 * HIDDEN * HIDDEN
    last = (member * steps + steps - 1) * batch
    gates += last * 3 * HIDDEN
    dz += last * 3 * HIDDEN
    dh_out += last * HIDDEN
    step_norms += last
    h += (member * (steps + 1) + steps - 1) * batch * HIDDEN
    dh = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for _ in range(steps):
        dh += tile(dh_out, HIDDEN, rows, row_ok, units, unit_ok)
        if RECORD_NORMS:
            tl.store(step_norms + rows, squared_norms(dh), mask=row_ok)
        r = tile(gates, 3 * HIDDEN, rows, row_ok, units, unit_ok)
        z = tile(gates + HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok)
        n = tile(gates + 2 * HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok)
        before = tile(h, HIDDEN, rows, row_ok, units, unit_ok)
        store_tile(
            dz + HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok, dh * (n - before) * z * (1.0 - z)
        )
        store_tile(
            dz + 2 * HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok, dh * z * (1.0 - n * n)
        )
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
        store_tile(dz, 3 * HIDDEN, rows, row_ok, units, unit_ok, back * before * r * (1.0 - r))
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
        step_norms -= batch
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
            h,
            weight_h,
            dh,
            dh if step_norms is None else step_norms,
            RECORD_NORMS=step_norms is not None,
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
        step_norms=params.get(STEP_NORMS),
    )
