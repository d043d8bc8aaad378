"""What the compiled kernels share: how they are compiled, and a sigmoid of vectors."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types

from study.kernels.native.vectors import FLAGS, at_least, at_most, instructions, lanes, load, store, width

# `contract`: a product and a sum may be one rounding. NaN and Inf keep their meaning. Division by zero is Inf as in torch;
# a check for it would keep loops from being vectorized. Compiled once a machine, kept beside the source or in the user's cache.
FASTMATH = {"contract"}


# Code that is kept counts as that of all sources together, for one file's code stands in another's.
SOURCES = hashlib.blake2b(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()


def compiled(function: Callable[..., Any], also: Collection[str] = ()) -> Any:
    """`also`: further liberties for the compiler (LLVM's fast-math flags)."""
    made: Any = njit(cache=True, nogil=True, fastmath={*FASTMATH, *also}, error_model="numpy")(function)
    with contextlib.suppress(AttributeError):  # not a promise of Numba's: without it, a change in one file alone is not seen in another
        made._cache._cache_file._source_stamp = SOURCES
    return made


def inlined(function: Callable[..., Any]) -> Any:
    """Compiled where it is called: vectors stay in registers."""
    return njit(forceinline=True, fastmath=FASTMATH, error_model="numpy")(function)


# exp(y) = 2^n exp(r) with |r| <= ln(2)/2 and exp's series; by bits of a number: terms of the series, bits behind the point,
# what is added to the exponent, and up to which |y| neither the result nor its inverse leaves the normal numbers.
SERIES = {32: (6, 23, 127, 87.0), 64: (13, 52, 1023, 708.0)}


@instructions
def exponential(typing_context: Any, vector: Any) -> Any:
    """exp lane by lane, to 2e-7 in float32 and 1e-15 in float64; what is further out than SERIES allows counts as its end."""

    def code(context: Any, builder: ir.IRBuilder, signature: Any, values: tuple[ir.Value, ...]) -> ir.Value:
        count, bits = lanes(vector.dtype), int(vector.dtype.bitwidth)
        terms, mantissa, bias, _ = SERIES[bits]
        kind, whole = values[0].type, ir.VectorType(ir.IntType(bits), count)

        def of(value: float) -> ir.Constant:
            return ir.Constant(kind, [value] * count)

        def plus(left: ir.Value, right: ir.Value) -> ir.Value:
            return builder.fadd(left, right, flags=FLAGS)

        def times(left: ir.Value, right: ir.Value) -> ir.Value:
            return builder.fmul(left, right, flags=FLAGS)

        magic = 1.5 * 2.0**mantissa  # added, it rounds a small number to a whole one, which then stands in the lowest bits
        high = math.floor(math.log(2) * 2.0**9 if bits == 32 else math.log(2) * 2.0**32) / (2.0**9 if bits == 32 else 2.0**32)
        rounded = plus(times(values[0], of(1 / math.log(2))), of(magic))
        n = plus(rounded, of(-magic))
        r = plus(plus(values[0], times(n, of(-high))), times(n, of(high - math.log(2))))  # ln 2 in two parts: n·high is exact for every n that occurs
        total = of(1 / math.factorial(terms))
        for power in reversed(range(terms)):
            total = plus(times(total, r), of(1 / math.factorial(power)))
        exponent = builder.shl(builder.bitcast(rounded, whole), ir.Constant(whole, [mantissa] * count))
        return times(total, builder.bitcast(builder.add(exponent, ir.Constant(whole, [bias << mantissa] * count)), kind))

    return vector(vector), code


@instructions
def furthest(typing_context: Any, vector: Any) -> Any:
    """Up to which |y| `exponential` is right."""
    limit = SERIES[int(vector.dtype.bitwidth)][3]

    def code(context: Any, builder: ir.IRBuilder, signature: Any, values: tuple[ir.Value, ...]) -> ir.Value:
        return ir.Constant(ir.DoubleType(), limit)

    return types.float64(vector), code


@inlined
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) of a vector, float32 to 1e-7; NaN stays NaN."""
    limit = furthest(x)
    return 1.0 / (1.0 + exponential(at_least(at_most(0.0 - x, limit), -limit)))


@inlined
def tanh(x: Any) -> Any:
    """2σ(2x) - 1 of a vector."""
    return 2.0 * sigmoid(2.0 * x) - 1.0


LINE = 64  # bytes: vectors that lie across two lines of the cache take twice as long


@compiled
def zeros(rows: int, columns: int, like: Any) -> Any:
    """[rows, columns] of the kind of `like`, at the beginning of a line of the cache."""
    size = like.itemsize
    made = np.zeros(rows * columns + LINE // size, like.dtype)
    first = (-made.ctypes.data % LINE) // size
    return made[first : first + rows * columns].reshape(rows, columns)


@functools.partial(compiled, also=("reassoc",))
def add_squares(rows: Any, start: int, count: int, into: Any) -> None:
    """into [count], float64, += the squares of rows [R, …] from column `start` on, summed over the rows."""
    for row in range(rows.shape[0]):
        for column in range(count):
            wide = np.float64(rows[row, start + column])
            into[column] += wide * wide


@compiled
def put(rows: Any, columns: int, into: Any, place: int, below: int) -> None:
    """The first `columns` (whole vectors) of rows [R, PANEL]: row r goes to value `place` + r·below of `into`."""
    for r in range(rows.shape[0]):
        for b in range(0, columns, width(rows)):
            store(into, place + r * below + b, load(rows, r * rows.shape[1] + b))


@compiled
def enter(given: Any, t: int, steps: int, start: int, columns: int, rows: Any) -> None:
    """rows [H, PANEL] += what enters at step t of `steps`: `columns` values (whole vectors) from `start` on of given [≤ T, H, B], the last steps'."""
    at = t - steps + len(given)
    if at >= 0:
        _, hidden, batch = given.shape
        for j in range(hidden):
            for b in range(0, columns, width(rows)):
                here = j * rows.shape[1] + b
                store(rows, here, load(rows, here) + load(given, (at * hidden + j) * batch + start + b))
