"""What the persistent kernels share: tiles of matrices, products, gates.

A program has one member and ROWS of its examples, and goes through all steps. A step's products are
of what the step before has stored: read back in pieces of DEEP columns, so that neither operand
needs more registers than there are, after a barrier, since other threads of the program have
written them (triton-lang/triton#11872). Launched with num_stages=1: loads brought forward would be
of values not yet written (#8259).
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def ours(batch, ROWS: tl.constexpr, HIDDEN: tl.constexpr, WIDTH: tl.constexpr):
    """(member, examples, which of them there are, hidden units, which of them there are); WIDTH:
    HIDDEN as a power of 2.
    """
    rows = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    units = tl.arange(0, WIDTH)
    return tl.program_id(0).to(tl.int64), rows, rows < batch, units, units < HIDDEN


@triton.jit
def tile(base, width, rows, row_ok, columns, column_ok):
    """Values [rows, columns] of a matrix whose rows are `width` apart; 0 where it has none."""
    return tl.load(
        base + rows[:, None] * width + columns[None, :],
        mask=row_ok[:, None] & column_ok[None, :],
        other=0.0,
    )


@triton.jit
def put(base, width, rows, row_ok, columns, column_ok, values):
    """Store values [rows, columns] where `tile` reads them."""
    tl.store(
        base + rows[:, None] * width + columns[None, :],
        values,
        mask=row_ok[:, None] & column_ok[None, :],
    )


@triton.jit
def add_product(into, left, right, PRECISION: tl.constexpr):
    """into + left @ right, added up in float32; of operands as they are (ieee), with 10 bits behind
    the point (tf32) or with 7 (bf16).
    """
    # tf32 has all of their bits, and the interpreter multiplies no bfloat16
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
    """into + left @ right over the first LONG columns of left, whose rows are `width` apart, and as
    many rows of right [LONG, HIDDEN].
    """
    for first in range(0, LONG, DEEP):
        some = first + tl.arange(0, DEEP)
        there = some < LONG
        into = add_product(
            into,
            tile(left, width, rows, row_ok, some, there),
            tile(right, HIDDEN, some, there, units, unit_ok),
            PRECISION,
        )
    return into


@triton.jit
def sigmoid(z):
    return 1.0 / (1.0 + tl.exp(-z))


@triton.jit
def tanh(z):
    """By its series below 1/4, where 1 - exp(-2|z|) loses the digits of a small state.

    libdevice's is closed to the interpreter.
    """
    square = z * z
    near = z + z * square * (
        -1.0 / 3 + square * (2.0 / 15 + square * (-17.0 / 315 + square * (62.0 / 2835)))
    )
    power = tl.exp(-2.0 * tl.abs(z))
    far = (1.0 - power) / (1.0 + power)
    return tl.where(square < 0.0625, near, tl.where(z < 0.0, -far, far))


@triton.jit
def squares(dh):
    """‖dh‖² by row, in float64 as study/kernels/reach.py has it."""
    wide = dh.to(tl.float64)
    return tl.sum(wide * wide, axis=1)
