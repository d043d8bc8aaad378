"""What the compiled kernels share: how they are compiled, and a sigmoid that becomes vector instructions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

# `contract`: a product and a sum may be one rounding. NaN and Inf keep their meaning. Division by zero is Inf as in torch;
# a check for it would keep loops from being vectorized. Compiled once a machine, kept beside the source or in the user's cache.
FASTMATH = {"contract"}


def compiled(function: Callable[..., Any]) -> Any:
    return njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")(function)


LARGEST = np.float32(87.0)  # exp(-87) is about the smallest normal number
MAGIC = np.float32(1.5 * 2**23)  # added, it rounds a small number to a whole one, which then stands in the lowest bits
LOG2_E = np.float32(1 / math.log(2))
LN2_HIGH = np.float32(355 / 512)  # ln 2 in two parts: n LN2_HIGH is exact for every n that occurs
LN2_LOW = np.float32(math.log(2) - 355 / 512)
ONE, HALF, C3, C4, C5, C6 = (np.float32(1 / math.factorial(k)) for k in range(1, 7))


@intrinsic
def _power_of_two(context: Any, whole: Any) -> Any:
    """2^n where MAGIC + n is given: n is moved to where a float has its exponent."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(32)
        exponent = builder.shl(builder.bitcast(arguments[0], integer), ir.Constant(integer, 23))
        return builder.bitcast(builder.add(exponent, ir.Constant(integer, 127 << 23)), ir.FloatType())

    return types.float32(types.float32), generate


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)). float32: to 1e-7, by exp(y) = 2^n exp(r), |r| ≤ ln(2)/2, and exp's series to r^6."""
    return 1 / (1 + math.exp(-x))


@overload(sigmoid, jit_options={"fastmath": FASTMATH, "error_model": "numpy"})
def _sigmoid(x: Any) -> Any:
    if x == types.float32:

        def single(x: Any) -> Any:
            y = -x
            y = LARGEST if y > LARGEST else (-LARGEST if y < -LARGEST else y)  # NaN stays
            whole = y * LOG2_E + MAGIC
            n = whole - MAGIC
            r = (y - n * LN2_HIGH) - n * LN2_LOW
            e = ((((((C6 * r + C5) * r + C4) * r + C3) * r + HALF) * r) + ONE) * r + ONE
            return ONE / (ONE + e * _power_of_two(whole))  # type: ignore[call-arg]

        return single

    def double(x: Any) -> Any:
        return 1.0 / (1.0 + math.exp(-x))

    return double


@compiled
def sigmoid_(values: Any) -> None:
    """In place, over a row of values."""
    for index in range(values.size):
        values[index] = sigmoid(values[index])


@njit(cache=True, nogil=True, fastmath={*FASTMATH, "reassoc"}, error_model="numpy")
def sum_of_squares(row: Any) -> Any:
    """Of one row of values, in float64."""
    total = 0.0
    for index in range(row.size):
        wide = np.float64(row[index])
        total += wide * wide
    return total


@compiled
def add_product(left: Any, right: Any, into: Any, scratch: Any) -> None:
    """into [R, K] += leftᵀ right for left [N, R] and right [N, K]."""
    np.dot(left.T, right, scratch)
    for row in range(into.shape[0]):
        for column in range(into.shape[1]):
            into[row, column] += scratch[row, column]
