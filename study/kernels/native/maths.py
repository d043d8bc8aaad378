"""Shared by the compiled kernels: compilation, sigmoid and tanh of vectors, moving rows."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import njit
from numba.core.caching import IndexDataCacheFile
from numpy.polynomial.chebyshev import cheb2poly, poly2cheb

from study.kernels.native.vectors import FLAGS, chosen, instructions, lanes, load, store, width
from study.machine.cache import cache_folder

# `contract`: a product and a sum may be fused into one rounding. NaN and Inf keep their meaning.
# Division by zero is Inf as in torch; a check for it would keep loops from being vectorized.
FASTMATH = {"contract"}


# Cached code depends on all sources together, since functions are inlined across files.
SOURCES = hashlib.blake2b(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()


def compiled(function: Callable[..., Any], also: Collection[str] = ()) -> Any:
    """Compile with Numba; `also`: further fast-math flags of LLVM."""
    return _cached(function, {*FASTMATH, *also})


def rounded(function: Callable[..., Any]) -> Any:
    """Compile with Numba; every operation is rounded by itself, in the order that is written."""
    return _cached(function, set())


def _cached(function: Callable[..., Any], fastmath: set[str]) -> Any:
    dispatcher: Any = njit(cache=True, nogil=True, fastmath=fastmath, error_model="numpy")(function)
    _keep_by_version(dispatcher._cache)
    return dispatcher


def _keep_by_version(cache: Any) -> None:
    """Let Numba keep a function in our cache folder, by version of Numba and of our sources.

    It would do so beside the source: compiled again, for half a minute, in every new environment
    and wherever the source cannot be written. Private to Numba: where it changes, its own place is
    used. NUMBA_CACHE_DIR is respected.
    """
    with contextlib.suppress(AttributeError, TypeError, OSError):
        cache._cache_file._source_stamp = SOURCES  # a change in one file recompiles the others
        if not os.environ.get("NUMBA_CACHE_DIR"):
            folder = cache_folder() / "kernels" / f"{numba.__version__}-{SOURCES[:16]}"
            folder.mkdir(parents=True, exist_ok=True)
            name = cache._impl.filename_base
            cache._cache_file = IndexDataCacheFile(str(folder), name, SOURCES)
            cache._cache_path = str(folder)


def inlined(function: Callable[..., Any]) -> Any:
    """Inline into the caller, so that vectors stay in registers."""
    return njit(forceinline=True, fastmath=FASTMATH, error_model="numpy")(function)


# exp(y) = 2^n 2^r with |r| <= 1/2 and a polynomial for 2^r. By bits of the number: degree of the
# polynomial, mantissa bits, exponent bias, and the largest |y| for which neither the result nor its
# inverse leaves the normal numbers.
POWERS = {32: (6, 23, 127, 87.0), 64: (11, 52, 1023, 708.0)}


def coefficients(degree: int) -> list[float]:
    """Coefficients of a polynomial for 2^r, |r| <= 1/2, which is exact at 0.

    The series of (2^r - 1)/r, economized by Chebyshev polynomials (Lanczos 1938), in plain Python
    arithmetic: the same bits on every machine.
    """
    # by powers of 2r
    series = [math.log(2) ** k / math.factorial(k) / 2 ** (k - 1) for k in range(1, degree + 9)]
    return [
        1.0,
        *(float(value) * 2**k for k, value in enumerate(cheb2poly(poly2cheb(series)[:degree]))),
    ]


def exponential(rate: float) -> Any:
    """exp(rate·x) of a vector, lane by lane; x is clamped to the range of POWERS, NaN stays NaN.

    Relative error: 2e-7 in float32 and 1e-15 in float64 near 0, ten times as much at 10/rate, where
    it no longer changes a sigmoid.
    """

    @instructions
    def power(typing_context: Any, vector: Any) -> Any:
        bits = int(vector.dtype.bitwidth)
        degree, mantissa, bias, furthest = POWERS[bits]
        series = coefficients(degree)

        def code(
            context: Any, builder: ir.IRBuilder, signature: Any, values: tuple[ir.Value, ...]
        ) -> ir.Value:
            count, kind = lanes(vector.dtype), values[0].type
            whole = ir.VectorType(ir.IntType(bits), count)

            def constant(value: float) -> ir.Constant:
                return ir.Constant(kind, [value] * count)

            def plus(left: ir.Value, right: ir.Value) -> ir.Value:
                return builder.fadd(left, right, flags=FLAGS)

            def times(left: ir.Value, right: ir.Value) -> ir.Value:
                return builder.fmul(left, right, flags=FLAGS)

            limit = furthest / abs(rate)
            x = chosen(
                builder, "<", chosen(builder, ">", values[0], constant(limit)), constant(-limit)
            )
            y = times(x, constant(rate / math.log(2)))
            # adding it rounds y to a whole number, whose exponent field is then in the lowest bits
            magic = 1.5 * 2.0**mantissa + bias
            rounded = plus(y, constant(magic))
            r = builder.fsub(y, plus(rounded, constant(-magic)), flags=FLAGS)
            total = constant(series[-1])
            for coefficient in reversed(series[:-1]):
                total = plus(times(total, r), constant(coefficient))
            exponent = builder.shl(
                builder.bitcast(rounded, whole), ir.Constant(whole, [mantissa] * count)
            )
            return times(total, builder.bitcast(exponent, kind))

        return vector(vector), code

    return power


_falling, _falling_fast = exponential(-1.0), exponential(-2.0)


@inlined
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) of a vector, float32 to 1e-7; NaN stays NaN."""
    return 1.0 / (1.0 + _falling(x))


@inlined
def tanh(x: Any) -> Any:
    """2 / (1 + exp(-2x)) - 1 of a vector."""
    return 2.0 / (1.0 + _falling_fast(x)) - 1.0


LINE = 64  # bytes: vectors across two cache lines take twice as long


@compiled
def zeros(rows: int, columns: int, like: Any) -> Any:
    """Zeros [rows, columns] of the dtype of `like`, aligned to a cache line."""
    size = like.itemsize
    memory = np.zeros(rows * columns + LINE // size, like.dtype)
    first = (-memory.ctypes.data % LINE) // size
    return memory[first : first + rows * columns].reshape(rows, columns)


@functools.partial(compiled, also=("reassoc",))
def add_squares(rows: Any, start: int, count: int, into: Any) -> None:
    """into [count] (float64) += sums over rows [R, …] of the squares from column `start` on."""
    for row in range(rows.shape[0]):
        for column in range(count):
            wide = np.float64(rows[row, start + column])
            into[column] += wide * wide


@compiled
def put(rows: Any, columns: int, into: Any, place: int, below: int) -> None:
    """Copy the first `columns` of rows [R, PANEL]: row r goes to `place` + r·below of `into`."""
    for r in range(rows.shape[0]):
        for b in range(0, columns, width(rows)):
            store(into, place + r * below + b, load(rows, r * rows.shape[1] + b))


@compiled
def add_step(grads: Any, t: int, steps: int, start: int, columns: int, rows: Any) -> None:
    """rows [H, PANEL] += the gradient of step t of `steps`, examples `start` to start + columns.

    grads [≤ T, H, B] holds the last steps; `columns` is a multiple of LANES.
    """
    at = t - steps + len(grads)
    if at >= 0:
        _, hidden, batch = grads.shape
        for j in range(hidden):
            for b in range(0, columns, width(rows)):
                place = j * rows.shape[1] + b
                store(
                    rows,
                    place,
                    load(rows, place) + load(grads, (at * hidden + j) * batch + start + b),
                )
