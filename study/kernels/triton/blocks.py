"""Shared by the persistent kernels: tiles of matrices, products, gates.

A program computes all steps of one member and ROWS of its examples. The products of a step read
what the previous step has stored, DEEP columns at a time, so that both operands fit into registers,
and after a barrier, since other threads of the program have written them
(triton-lang/triton#11872). Kernels are launched with num_stages=1: prefetched loads would read
values that are not yet written (#8259).
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def program(batch, ROWS: tl.constexpr, HIDDEN: tl.constexpr, WIDTH: tl.constexpr):
    """(member, examples, mask of examples, hidden units, mask of units) of this program.

    WIDTH: HIDDEN rounded up to a power of 2.
    """
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    units = tl.arange(0, WIDTH)
    return tl.program_id(0).to(tl.int64), rows, rows < batch, units, units < HIDDEN


@triton.jit
def tile(base, width, rows, row_ok, columns, column_ok):
    """Values [rows, columns] of a matrix whose rows are `width` apart; 0 outside of it."""
    return tl.load(
        base + rows[:, None] * width + columns[None, :],
        mask=row_ok[:, None] & column_ok[None, :],
        other=0.0,
    )


@triton.jit
def store_tile(base, width, rows, row_ok, columns, column_ok, values):
    """Store values [rows, columns] where `tile` reads them."""
    tl.store(
        base + rows[:, None] * width + columns[None, :],
        values,
        mask=row_ok[:, None] & column_ok[None, :],
    )


@triton.jit
def add_product(into, left, right, PRECISION: tl.constexpr):
    """into + left @ right, summed in float32.

    Operands are rounded to PRECISION: not at all (ieee), to 10 (tf32) or 7 mantissa bits (bf16).
    """
    # tf32 holds all bits of bf16, and the interpreter cannot multiply bfloat16
    if PRECISION == "bf16":
        left, right = left.to(tl.bfloat16).to(tl.float32), right.to(tl.bfloat16).to(tl.float32)
    if PRECISION == "ieee":
        return tl.dot(left, right, into, input_precision="ieee")
    return tl.dot(left, right, into, input_precision="tf32")


@triton.jit
def add_whole_product(
    into,
    left,
    width,
    right,
    rows,
    row_ok,
    units,
    unit_ok,
    LONG: tl.constexpr,
    HIDDEN: tl.constexpr,
    DEEP: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """into + left @ right over the first LONG columns of left; right is [LONG, HIDDEN].

    Rows of left are `width` apart.
    """
    for first in range(0, LONG, DEEP):
        columns = first + tl.arange(0, DEEP)
        inside = columns < LONG
        into = add_product(
            into,
            tile(left, width, rows, row_ok, columns, inside),
            tile(right, HIDDEN, columns, inside, units, unit_ok),
            PRECISION,
        )
    return into


@triton.jit
def sigmoid(z):
    return 1.0 / (1.0 + tl.exp(-z))


@triton.jit
def tanh(z):
    """tanh by its series below 1/4, where 1 - exp(-2|z|) would lose digits.

    The interpreter cannot call libdevice's tanh.
    """
    square = z * z
    near = z + z * square * (
        -1.0 / 3 + square * (2.0 / 15 + square * (-17.0 / 315 + square * (62.0 / 2835)))
    )
    power = tl.exp(-2.0 * tl.abs(z))
    far = (1.0 - power) / (1.0 + power)
    return tl.where(square < 0.0625, near, tl.where(z < 0.0, -far, far))


@triton.jit
def squared_norms(dh):
    """‖dh‖² by row, in float64 as in study/kernels/step_norms.py."""
    wide = dh.to(tl.float64)
    return tl.sum(wide * wide, axis=1)
