"""Small matrix products whose sums stay in registers, for the steps of a recurrence.

BLAS is made for large matrices; at the sizes of small recurrent networks it reaches half of the
processor's peak. Here the examples of a batch occupy the lanes of vectors, so that only the rows of
a product can leave a remainder.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from study.kernels.native.maths import compiled, inlined
from study.kernels.native.vectors import (
    FLAGS,
    WIDE,
    address,
    everywhere,
    instructions,
    lanes,
    load_vector,
    of_lanes,
    store_vector,
    width,
)

ACROSS = 4 if WIDE else 2  # vectors of a row that a product computes at once
TALL = 8 if WIDE else 4  # rows (and BROAD columns) of a sum over examples computed at once
BROAD = 2


def _tile(rows: int, vectors: int) -> Any:
    """out[r, v] = Σ_k weight[r, k] x[k, v] for a tile of `rows` by `vectors`, in registers."""

    @instructions
    def tile(
        typing_context: Any,
        weight: Any,
        row: Any,
        stride: Any,
        x: Any,
        first: Any,
        apart: Any,
        out: Any,
        place: Any,
        below: Any,
        terms: Any,
    ) -> Any:
        """Rows start at row + r·stride (weight), first + k·apart (x), place + r·below (out)."""
        whole = types.intp

        def code(
            context: Any, builder: ir.IRBuilder, signature: Any, values: tuple[ir.Value, ...]
        ) -> ir.Value:
            of_weight, _, _, of_x, _, _, of_out, *_ = signature.args
            weight_, row_, stride_, x_, first_, apart_, out_, place_, below_, terms_ = values
            number, count = row_.type, lanes(of_x.dtype)
            kind = of_lanes(context.get_value_type(of_x.dtype), count)
            lefts = [
                address(
                    context,
                    builder,
                    of_weight,
                    weight_,
                    builder.add(row_, builder.mul(stride_, number(r))),
                )
                for r in range(rows)
            ]
            right = address(context, builder, of_x, x_, first_)
            before, loop, after = (
                builder.block,
                builder.append_basic_block("terms"),
                builder.append_basic_block("summed"),
            )
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(number)
            k.add_incoming(number(0), before)
            sums = [[builder.phi(kind) for _ in range(vectors)] for _ in range(rows)]
            line = builder.gep(right, [builder.mul(k, apart_)])
            factors = [
                load_vector(builder, builder.gep(line, [number(v * count)]), count)
                for v in range(vectors)
            ]
            added = []
            for left in lefts:
                scalar = everywhere(builder, builder.load(builder.gep(left, [k])), count)
                added.append([builder.fmul(scalar, factor, flags=FLAGS) for factor in factors])
            totals = [
                [builder.fadd(one, more, flags=FLAGS) for one, more in zip(row, plus, strict=True)]
                for row, plus in zip(sums, added, strict=True)
            ]
            for phis, total in zip(sums, totals, strict=True):
                for one, next_ in zip(phis, total, strict=True):
                    one.add_incoming(kind([0.0] * count), before)
                    one.add_incoming(next_, loop)
            following = builder.add(k, number(1))
            k.add_incoming(following, loop)
            builder.cbranch(builder.icmp_signed("<", following, terms_), loop, after)
            builder.position_at_end(after)
            for r, total in enumerate(totals):
                start = builder.add(place_, builder.mul(below_, number(r)))
                for v, value in enumerate(total):
                    store_vector(
                        builder,
                        value,
                        address(
                            context, builder, of_out, out_, builder.add(start, number(v * count))
                        ),
                    )
            return context.get_dummy_value()

        return types.void(weight, whole, whole, x, whole, whole, out, whole, whole, whole), code

    return tile


def _side_by_side(vectors: int, high: int) -> Any:
    """A product of `vectors` vectors per row, `high` rows at a time."""
    many, single = _tile(high, vectors), _tile(1, vectors)

    @inlined
    def part(
        weight: Any,
        begin: int,
        rows: int,
        x: Any,
        first: int,
        apart: int,
        out: Any,
        place: int,
        below: int,
        terms: int,
    ) -> None:
        stride, r = weight.shape[1], 0
        while r + high <= rows:
            many(
                weight,
                begin + r * stride,
                stride,
                x,
                first,
                apart,
                out,
                place + r * below,
                below,
                terms,
            )
            r += high
        while r < rows:
            single(
                weight,
                begin + r * stride,
                stride,
                x,
                first,
                apart,
                out,
                place + r * below,
                below,
                terms,
            )
            r += 1

    return part


_four, _three, _two, _one = (
    _side_by_side(4, 4),
    _side_by_side(3, 4),
    _side_by_side(2, 8 if WIDE else 4),
    _side_by_side(1, 8),
)


@compiled
def product(
    weight: Any,
    row: int,
    rows: int,
    skip: int,
    terms: int,
    x: Any,
    first: int,
    apart: int,
    out: Any,
    place: int,
    below: int,
    columns: int,
) -> None:
    """out = weight[row : row + rows, skip : skip + terms] x.

    weight [R, K]; row k of x starts at value `first` + k·apart, row r of out at `place` + r·below.
    `columns`, a multiple of sizes.LANES, is the number of columns of x and out.
    """
    begin, lane, column = row * weight.shape[1] + skip, width(weight), 0
    while column < columns:
        vectors, at, to = min(ACROSS, (columns - column) // lane), first + column, place + column
        if vectors == 4:
            _four(weight, begin, rows, x, at, apart, out, to, below, terms)
        elif vectors == 3:
            _three(weight, begin, rows, x, at, apart, out, to, below, terms)
        elif vectors == 2:
            _two(weight, begin, rows, x, at, apart, out, to, below, terms)
        else:
            _one(weight, begin, rows, x, at, apart, out, to, below, terms)
        column += vectors * lane


@instructions
def _sums(
    typing_context: Any,
    left: Any,
    row: Any,
    stride: Any,
    right: Any,
    term: Any,
    apart: Any,
    later: Any,
    out: Any,
    place: Any,
    steps: Any,
    columns: Any,
) -> Any:
    """out[place + r·BROAD + k] += Σ_t Σ_b left[r, t, b] right[t, k, b], TALL by BROAD sums.

    left: row r starts at `row` + r·stride, its steps are contiguous. right: row k of step t starts
    at `term` + k·apart + t·later.
    """
    whole = types.intp

    def code(
        context: Any, builder: ir.IRBuilder, signature: Any, values: tuple[ir.Value, ...]
    ) -> ir.Value:
        of_left, _, _, of_right, _, _, _, of_out, *_ = signature.args
        left_, row_, stride_, right_, term_, apart_, later_, out_, place_, steps_, columns_ = values
        number, count = row_.type, lanes(of_left.dtype)
        kind = of_lanes(context.get_value_type(of_left.dtype), count)
        lefts = [
            address(
                context, builder, of_left, left_, builder.add(row_, builder.mul(stride_, number(r)))
            )
            for r in range(TALL)
        ]
        rights = [
            address(
                context,
                builder,
                of_right,
                right_,
                builder.add(term_, builder.mul(apart_, number(k))),
            )
            for k in range(BROAD)
        ]
        before = builder.block
        by_step, by_column, stepped, after = (
            builder.append_basic_block(name) for name in ("step", "column", "stepped", "summed")
        )
        builder.branch(by_step)
        builder.position_at_end(by_step)
        t, outer = builder.phi(number), [builder.phi(kind) for _ in range(TALL * BROAD)]
        of_step = builder.mul(t, columns_), builder.mul(t, later_)
        builder.branch(by_column)
        builder.position_at_end(by_column)
        b, inner = builder.phi(number), [builder.phi(kind) for _ in range(TALL * BROAD)]
        at = [builder.add(start, b) for start in of_step]
        ours = [load_vector(builder, builder.gep(one, [at[0]]), count) for one in lefts]
        theirs = [load_vector(builder, builder.gep(one, [at[1]]), count) for one in rights]
        products = [builder.fmul(one, other, flags=FLAGS) for one in ours for other in theirs]
        totals = [
            builder.fadd(one, more, flags=FLAGS) for one, more in zip(inner, products, strict=True)
        ]
        next_b = builder.add(b, number(count))
        builder.cbranch(builder.icmp_signed("<", next_b, columns_), by_column, stepped)
        builder.position_at_end(stepped)
        next_t = builder.add(t, number(1))
        builder.cbranch(builder.icmp_signed("<", next_t, steps_), by_step, after)
        for phi, start, following, first, again in (
            (t, number(0), next_t, before, stepped),
            (b, number(0), next_b, by_step, by_column),
        ):
            phi.add_incoming(start, first)
            phi.add_incoming(following, again)
        for one, other, total in zip(outer, inner, totals, strict=True):
            one.add_incoming(kind([0.0] * count), before)
            one.add_incoming(total, stepped)
            other.add_incoming(one, by_step)
            other.add_incoming(total, by_column)
        builder.position_at_end(after)
        for index, value in enumerate(_summed(builder, totals, count)):
            where = address(
                context,
                builder,
                of_out,
                out_,
                builder.add(place_, number(index * value.type.count)),
            )
            store_vector(
                builder, builder.fadd(load_vector(builder, where, value.type.count), value), where
            )
        return context.get_dummy_value()

    return (
        types.void(left, whole, whole, right, whole, whole, whole, out, whole, whole, whole),
        code,
    )


def _summed(builder: ir.IRBuilder, vectors: list[ir.Value], count: int) -> list[ir.Value]:
    """Vectors that hold the sum of each of `vectors` (a power of two of them), in order.

    Neighbours are added pairwise.
    """

    def every_second(one: ir.Value, other: ir.Value, start: int) -> ir.Value:
        both = 2 * one.type.count
        order = ir.Constant(
            ir.VectorType(ir.IntType(32), one.type.count), list(range(start, both, 2))
        )
        return builder.shuffle_vector(one, other, order)

    held = 1  # sums that each vector holds parts of
    while held < count and len(vectors) > 1:
        vectors = [
            builder.fadd(every_second(one, other, 0), every_second(one, other, 1))
            for one, other in zip(vectors[::2], vectors[1::2], strict=True)
        ]
        held *= 2
    while held < vectors[0].type.count:  # one vector is left, with several parts of each sum
        size = vectors[0].type.count // 2
        halves = []
        for start in (0, 1):
            order = ir.Constant(
                ir.VectorType(ir.IntType(32), size), list(range(start, 2 * size, 2))
            )
            halves.append(builder.shuffle_vector(vectors[0], vectors[0], order))
        vectors = [builder.fadd(*halves)]
    return vectors


@compiled
def tiles(rows: int, terms: int) -> int:
    """Number of sums of `add_sums`."""
    return -(-rows // TALL) * -(-terms // BROAD) * TALL * BROAD


@compiled
def padded(rows: int) -> int:
    """Number of rows that `left` of add_sums must have."""
    return -(-rows // TALL) * TALL


@compiled
def add_sums(
    left: Any, right: Any, step: int, start: int, columns: int, steps: int, rows: int, sums: Any
) -> None:
    """sums += Σ_t Σ_b left[r, t, b] right[t, k, b] for all r < rows and k < K, tile by tile.

    left: [padded(rows), ≥ steps·columns]; right: [T, K, B], read from step `step` and column
    `start` on. The padding of left goes into sums that `unpack` drops.
    """
    _, terms, batch = right.shape
    stride, place = left.shape[1], 0
    for r in range(0, rows, TALL):
        for k in range(0, terms, BROAD):
            _sums(
                left,
                r * stride,
                stride,
                right,
                (step * terms + k) * batch + start,
                batch,
                terms * batch,
                sums,
                place,
                steps,
                columns,
            )
            place += TALL * BROAD


@compiled
def unpack(sums: Any, into: Any) -> None:
    """Copy the sums of add_sums to into [R, K]."""
    rows, terms = into.shape
    across = -(-terms // BROAD)
    for r in range(rows):
        for k in range(terms):
            into[r, k] = sums[
                ((r // TALL) * across + k // BROAD) * TALL * BROAD + (r % TALL) * BROAD + k % BROAD
            ]
