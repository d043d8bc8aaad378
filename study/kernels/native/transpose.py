"""Transposes torch's [T, B, H] to the [T, H, B] of the compiled kernels, square by square."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from study.kernels.native.maths import compiled
from study.kernels.native.vectors import (
    address,
    instructions,
    lanes,
    load_vector,
    store_vector,
    width,
)


@instructions
def _transpose_square(
    typing_context: Any, source: Any, first: Any, apart: Any, into: Any, place: Any, below: Any
) -> Any:
    """into[place + c·below + r] = source[first + r·apart + c] in registers.

    The square has as many rows and columns as a vector has lanes.
    """
    whole = types.intp

    def code(
        context: Any, builder: ir.IRBuilder, signature: Any, values: tuple[ir.Value, ...]
    ) -> ir.Value:
        of_source, _, _, of_into, *_ = signature.args
        source_, first_, apart_, into_, place_, below_ = values
        number, count = first_.type, lanes(of_source.dtype)
        starts = [builder.add(first_, builder.mul(apart_, number(r))) for r in range(count)]
        rows = [
            load_vector(builder, address(context, builder, of_source, source_, start), count)
            for start in starts
        ]
        distance = 1
        while distance < count:
            for r in range(count):
                if not r & distance:
                    one, other = rows[r], rows[r | distance]
                    upper = [
                        count + lane - distance if lane & distance else lane
                        for lane in range(count)
                    ]
                    lower = [
                        count + lane if lane & distance else lane + distance
                        for lane in range(count)
                    ]
                    indices = ir.VectorType(ir.IntType(32), count)
                    rows[r], rows[r | distance] = (
                        builder.shuffle_vector(one, other, ir.Constant(indices, order))
                        for order in (upper, lower)
                    )
            distance *= 2
        for c, row in enumerate(rows):
            store_vector(
                builder,
                row,
                address(
                    context,
                    builder,
                    of_into,
                    into_,
                    builder.add(place_, builder.mul(below_, number(c))),
                ),
            )
        return context.get_dummy_value()

    return types.void(source, whole, whole, into, whole, whole), code


@compiled
def transpose(source: Any, into: Any) -> None:
    """into [T, H, B'] from source [T, B, H]; columns from B on become 0."""
    steps, batch, hidden = source.shape
    across, side = into.shape[2], width(source)
    examples, units = batch // side * side, hidden // side * side
    for t in range(steps):
        for b in range(0, examples, side):
            for j in range(0, units, side):
                _transpose_square(
                    source,
                    (t * batch + b) * hidden + j,
                    hidden,
                    into,
                    (t * hidden + j) * across + b,
                    across,
                )
            for j in range(units, hidden):
                for column in range(b, b + side):
                    into[t, j, column] = source[t, column, j]
        for j in range(hidden):
            for b in range(examples, batch):
                into[t, j, b] = source[t, b, j]
            into[t, j, batch:] = 0
