"""GRU layer, reset after the product, gates r, z, n: m = W_n h_{t-1} + b_hn, n = tanh(z_n + r⊙m),
h_t = n + z⊙(h_{t-1} - n).
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
    bias,
    h,
    product,
    steps,
    batch,
    HIDDEN: tl.constexpr,
    WIDTH: tl.constexpr,
    DEEP: tl.constexpr,
    ROWS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Writes h [M, T + 1, B, H] and product = m [M, T, B, H].

    gates [M, T, B, 3H]: the projected input, replaced by r, z, n; across [M, H, 3H] = W_hᵀ; bias
    [M, H].
    """
    member, rows, row_ok, units, unit_ok = program(batch, ROWS, HIDDEN, WIDTH)
    across += member * 3 * HIDDEN * HIDDEN
    gates += member * steps * batch * 3 * HIDDEN
    product += member * steps * batch * HIDDEN
    h += member * (steps + 1) * batch * HIDDEN
    b_n = tl.load(bias + member * HIDDEN + units, mask=unit_ok, other=0.0)
    state = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for _ in range(steps):
        r = tile(gates, 3 * HIDDEN, rows, row_ok, units, unit_ok)
        z = tile(gates + HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok)
        n = tile(gates + 2 * HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok)
        m = tl.zeros((ROWS, WIDTH), dtype=tl.float32) + b_n[None, :]
        for first in range(0, HIDDEN, DEEP):
            columns = first + tl.arange(0, DEEP)
            inside = columns < HIDDEN
            before = tile(h, HIDDEN, rows, row_ok, columns, inside)
            r = add_product(
                r, before, tile(across, 3 * HIDDEN, columns, inside, units, unit_ok), PRECISION
            )
            z = add_product(
                z,
                before,
                tile(across + HIDDEN, 3 * HIDDEN, columns, inside, units, unit_ok),
                PRECISION,
            )
            m = add_product(
                m,
                before,
                tile(across + 2 * HIDDEN, 3 * HIDDEN, columns, inside, units, unit_ok),
                PRECISION,
            )
        r, z = sigmoid(r), sigmoid(z)
        n = tanh(n + r * m)
        state = n + z * (state - n)
        store_tile(gates, 3 * HIDDEN, rows, row_ok, units, unit_ok, r)
        store_tile(gates + HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok, z)
        store_tile(gates + 2 * HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok, n)
        store_tile(product, HIDDEN, rows, row_ok, units, unit_ok, m)
        gates += batch * 3 * HIDDEN
        product += batch * HIDDEN
        h += batch * HIDDEN
        store_tile(h, HIDDEN, rows, row_ok, units, unit_ok, state)
        tl.debug_barrier()


@triton.jit(do_not_specialize=["steps", "batch"])
def backward(
    dz,
    dproduct,
    gates,
    product,
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
    """Writes dz [M, T, B, 3H], dproduct [M, T, B, H] and step_norms [M, T, B].

    weight [M, 3H, H], h [M, T + 1, B, H], dh_out [M, T, B, H].
    """
    member, rows, row_ok, units, unit_ok = program(batch, ROWS, HIDDEN, WIDTH)
    weight += member * 3 * HIDDEN * HIDDEN
    last = (member * steps + steps - 1) * batch
    gates += last * 3 * HIDDEN
    dz += last * 3 * HIDDEN
    product += last * HIDDEN
    dproduct += last * HIDDEN
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
        m = tile(product, HIDDEN, rows, row_ok, units, unit_ok)
        before = tile(h, HIDDEN, rows, row_ok, units, unit_ok)
        dn = (dh - dh * z) * (1.0 - n * n)
        store_tile(dz, 3 * HIDDEN, rows, row_ok, units, unit_ok, dn * m * r * (1.0 - r))
        store_tile(
            dz + HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok, dh * (before - n) * z * (1.0 - z)
        )
        store_tile(dz + 2 * HIDDEN, 3 * HIDDEN, rows, row_ok, units, unit_ok, dn)
        store_tile(dproduct, HIDDEN, rows, row_ok, units, unit_ok, dn * r)
        dh *= z
        tl.debug_barrier()
        candidate = weight + 2 * HIDDEN * HIDDEN
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
        dh = add_whole_product(
            dh,
            dproduct,
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
        gates -= batch * 3 * HIDDEN
        dz -= batch * 3 * HIDDEN
        product -= batch * HIDDEN
        dproduct -= batch * HIDDEN
        dh_out -= batch * HIDDEN
        step_norms -= batch
        h -= batch * HIDDEN


class GRUResetAfterPasses(Passes):
    def forward(
        self, launch: Launch, z: Tensor, weight_h: Tensor, more: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        assert more is not None
        h, product = launch.states(z), z.new_empty(*z.shape[:3], launch.hidden)
        launch(forward, z, weight_h.transpose(1, 2).contiguous(), more, h, product)
        return h, (product,)

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
        dz, dproduct = torch.empty_like(gates), torch.empty_like(kept[0])
        launch(
            backward,
            dz,
            dproduct,
            gates,
            kept[0],
            h,
            weight_h,
            dh,
            dh if step_norms is None else step_norms,
            RECORD_NORMS=step_norms is not None,
        )
        drz = dz[..., : 2 * launch.hidden]
        return (
            dz,
            torch.cat([launch.summed(drz, h[:, :-1]), launch.summed(dproduct, h[:, :-1])], dim=1),
            dproduct.sum((1, 2)),
        )


def layer(cell: Cell, params: Params, x: Tensor) -> Tensor:
    """h [M, T, B, H] of study.cells.gru_reset_after.GRUResetAfter."""
    return run(
        GRUResetAfterPasses(),
        x,
        params["weight_x"],
        params["weight_h"],
        params["bias"],
        step_norms=params.get(STEP_NORMS),
        more=params["bias_hn"],
    )
