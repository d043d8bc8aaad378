"""A Numba type for vector registers: code written with it becomes vector instructions.

This does not rely on the compiler's vectorization of loops. A vector has `lanes(dtype)` values.
Operations on vectors, or on a vector and a number, work lane by lane; a product and a sum may be
fused into one rounding. Division by zero is Inf, NaN stays NaN.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import typing
from numba.extending import intrinsic, models, overload, register_model

# 32 registers of 64 bytes; otherwise 16 of 32 bytes are assumed
WIDE = bool(binding.get_host_cpu_features().get("avx512f"))
BYTES = 64 if WIDE else 32
FLAGS = ("contract",)


def instructions(function: Callable[..., Any]) -> Any:
    """A Numba intrinsic: from argument types to a signature and a function that emits LLVM code."""
    return intrinsic(function)


def lanes(dtype: types.Float) -> int:
    """Number of values per vector, a power of two."""
    return BYTES * 8 // int(dtype.bitwidth)


class Vector(types.Type):
    """Vector of `dtype`, float32 or float64."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype}, {lanes(dtype)})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(
            manager, vector, of_lanes(manager[vector.dtype].get_value_type(), lanes(vector.dtype))
        )


def of_lanes(scalar: ir.Type, count: int) -> ir.VectorType:
    return ir.VectorType(scalar, count)


# --- helpers that emit LLVM code inside an intrinsic ----------------------------------------------


def address(
    context: Any, builder: ir.IRBuilder, array_type: types.Array, array: ir.Value, index: ir.Value
) -> ir.Value:
    """The address of value number `index` of a contiguous array."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def load_vector(builder: ir.IRBuilder, where: ir.Value, count: int) -> ir.Value:
    """Load `count` values from an address, aligned or not."""
    kind = of_lanes(where.type.pointee, count)
    return builder.load(builder.bitcast(where, kind.as_pointer()), align=_size(kind))


def store_vector(builder: ir.IRBuilder, value: ir.Value, where: ir.Value) -> None:
    builder.store(value, builder.bitcast(where, value.type.as_pointer()), align=_size(value.type))


def _size(kind: ir.VectorType) -> int:
    """Bytes of one value."""
    return 4 if isinstance(kind.element, ir.FloatType) else 8


def everywhere(builder: ir.IRBuilder, scalar: ir.Value, count: int) -> ir.Value:
    """A vector with the same value in every lane."""
    kind, nothing = (
        of_lanes(scalar.type, count),
        ir.Constant(of_lanes(scalar.type, count), ir.Undefined),
    )
    whole = ir.IntType(32)
    first = builder.insert_element(nothing, scalar, ir.Constant(whole, 0))
    return builder.shuffle_vector(
        first,
        ir.Constant(kind, ir.Undefined),
        ir.Constant(ir.VectorType(whole, count), [0] * count),
    )


def chosen(builder: ir.IRBuilder, test: str, value: ir.Value, limit: ir.Value) -> ir.Value:
    """`limit` where `value` is above (">") or below ("<") it, else `value`; NaN stays NaN."""
    return builder.select(builder.fcmp_ordered(test, value, limit), limit, value)


def _both(
    context: Any,
    builder: ir.IRBuilder,
    kinds: tuple[types.Type, ...],
    values: tuple[ir.Value, ...],
    result: Vector,
) -> list[ir.Value]:
    """Operands as vectors; a number is copied to every lane."""
    vectors = []
    for kind, value in zip(kinds, values, strict=True):
        if isinstance(kind, Vector):
            vectors.append(value)
        else:
            vectors.append(
                everywhere(
                    builder, context.cast(builder, value, kind, result.dtype), lanes(result.dtype)
                )
            )
    return vectors


def _result(left: types.Type, right: types.Type) -> Vector:
    return left if isinstance(left, Vector) else right  # type: ignore[return-value]


def _lane_by_lane(generate: Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value]) -> Any:
    @instructions
    def operation(typing_context: Any, left: Any, right: Any) -> Any:
        result = _result(left, right)

        def code(
            context: Any,
            builder: ir.IRBuilder,
            signature: typing.Signature,
            values: tuple[ir.Value, ...],
        ) -> ir.Value:
            return generate(builder, *_both(context, builder, signature.args, values, result))

        return result(left, right), code

    return operation


def _operator(
    symbol: Any, generate: Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value]
) -> None:
    operation = _lane_by_lane(generate)

    @overload(symbol)
    def chosen(left: Any, right: Any) -> Any:
        if any(isinstance(one, Vector) for one in (left, right)) and all(
            isinstance(one, (Vector, types.Number)) for one in (left, right)
        ):

            def code(left: Any, right: Any) -> Any:
                return operation(left, right)

            return code
        return None


_operator(operator.add, lambda builder, left, right: builder.fadd(left, right, flags=FLAGS))
_operator(operator.sub, lambda builder, left, right: builder.fsub(left, right, flags=FLAGS))
_operator(operator.mul, lambda builder, left, right: builder.fmul(left, right, flags=FLAGS))
_operator(operator.truediv, lambda builder, left, right: builder.fdiv(left, right))


at_least = _lane_by_lane(lambda builder, value, limit: chosen(builder, "<", value, limit))
"""at_least(vector, limit): the larger of both, lane by lane; NaN stays NaN."""
where_positive = _lane_by_lane(
    lambda builder, test, value: builder.select(
        builder.fcmp_unordered(">", test, ir.Constant(test.type, [0.0] * test.type.count)),
        value,
        ir.Constant(test.type, [0.0] * test.type.count),
    )
)
"""where_positive(test, value): value where test > 0 or NaN, as torch's relu backward; else 0."""


@instructions
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """A vector of the values from `index` on, counted over the whole contiguous array."""
    result = Vector(array.dtype)

    def code(
        context: Any,
        builder: ir.IRBuilder,
        signature: typing.Signature,
        values: tuple[ir.Value, ...],
    ) -> ir.Value:
        return load_vector(
            builder, address(context, builder, signature.args[0], *values), lanes(result.dtype)
        )

    return result(array, types.intp), code


@instructions
def store(typing_context: Any, array: Any, index: Any, vector: Any) -> Any:
    """Store a vector at the index from which `load` reads it."""

    def code(
        context: Any,
        builder: ir.IRBuilder,
        signature: typing.Signature,
        values: tuple[ir.Value, ...],
    ) -> ir.Value:
        store_vector(builder, values[2], address(context, builder, signature.args[0], *values[:2]))
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), code


def width(array: Any) -> int:
    """Lanes of a vector of this array's dtype."""
    raise NotImplementedError("available in compiled code only")


@overload(width)
def _width(array: Any) -> Any:
    count = lanes(array.dtype)

    def code(array: Any) -> Any:
        return count

    return code
