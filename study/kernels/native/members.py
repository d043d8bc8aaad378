"""Stacked layers by the compiled kernels, forward and backward, without torch between them.

The same kernels on the same values as `layer.Layer` calls inside a graph, so the same bits. Weights
are read from a member's row of parameters, and their gradients written into its row. Memory is
reserved once for some members, the slots, and used again by those that follow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from study.kernels.native.layer import Layer, Rows
from study.kernels.native.maths import compiled
from study.kernels.native.sizes import LANES
from study.kernels.native.transpose import transpose

Slices = Mapping[str, tuple[slice, tuple[int, ...]]]  # of a layer's parameters in a row
RESERVED = 2**25  # bytes that the slots take, unless two of them take more


@compiled
def pack(row: Any, table: Any, weights: Any, hidden: int, inputs: int) -> None:
    """Fills the joined weights [R, H + D + 1] from a row of parameters [P].

    table [n, 4]: how many rows, and where their parts begin in the row of parameters: recurrent
    and input weights, biases; -1: zeros.
    """
    r = 0
    for part in range(len(table)):
        count, h, x, b = table[part]
        for i in range(count):
            for k in range(hidden):
                weights[r, k] = row[h + i * hidden + k] if h >= 0 else 0.0
            for k in range(inputs):
                weights[r, hidden + k] = row[x + i * inputs + k] if x >= 0 else 0.0
            weights[r, hidden + inputs] = row[b + i] if b >= 0 else 0.0
            r += 1


@compiled
def unpack(weights: Any, table: Any, row: Any, hidden: int, inputs: int) -> None:
    """The reverse of `pack`, for gradients."""
    r = 0
    for part in range(len(table)):
        count, h, x, b = table[part]
        for i in range(count):
            if h >= 0:
                for k in range(hidden):
                    row[h + i * hidden + k] = weights[r, k]
            if x >= 0:
                for k in range(inputs):
                    row[x + i * inputs + k] = weights[r, hidden + k]
            if b >= 0:
                row[b + i] = weights[r, hidden + inputs]
            r += 1


@compiled
def fill(x: Any, hx: Any, hidden: int) -> None:
    """Writes x [B, T, D] below the states of hx [T + 1, K, B']."""
    for t in range(x.shape[1]):
        for d in range(x.shape[2]):
            for b in range(x.shape[0]):
                hx[t, hidden + d, b] = x[b, t, d]


def table(rows: Sequence[Rows], slices: Slices) -> np.ndarray:
    """As `pack` reads it."""

    def begin(source: tuple[str, int] | None) -> int:
        if source is None:
            return -1
        columns, shape = slices[source[0]]
        return int(columns.start) + source[1] * math.prod(shape[1:])

    return np.array(
        [[one.count, *map(begin, (one.weight_h, one.weight_x, one.bias))] for one in rows],
        dtype=np.int64,
    )


class _Slot:
    """Memory of one member in one layer, and the arguments of the kernel's two functions."""

    def __init__(self, of: Layer, inputs: int, hx: Tensor, kept: int, *, first: bool) -> None:
        steps, hidden, across = hx.shape[0] - 1, of.hidden, hx.shape[2]
        rows, width = sum(one.count for one in of.rows), hidden + inputs + 1

        def empty(*shape: int) -> np.ndarray:  # on a cache line
            array: np.ndarray = hx.new_empty(shape).numpy()
            return array

        self.hx = hx.numpy()
        self.weights, self.gradients = empty(rows, width), empty(rows if kept else 0, width)
        shapes = of.module.buffers(kept or 1, across, hidden, hx.shape[1])
        buffers = [empty(*shape) for shape in shapes]
        ends = np.cumsum([part.shape[1] for part in of.weights])[:-1]
        self.forward = (self.hx, *np.split(self.weights, ends), *buffers, *of.further)
        self.into = empty(steps if kept else 0, 0 if first else inputs, across)
        none = [empty(0, hidden, across)] * len(of.others)
        norms, taps = np.zeros((0, 0)), empty(0, 0, across)
        self.after = (*none, *np.split(self.gradients, ends), self.into, norms, taps, *of.further)
        self.before = self.forward[: len(self.forward) - len(of.further)]


class Members:
    """Layers of some members with batches of one size.

    layers: of any member, with `rows`; slices: of their parameters; inputs: D; batch: examples,
    with those that fill it up; most: members; gradients: whether `backward` will be called.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        slices: Sequence[Slices],
        *,
        inputs: int,
        steps: int,
        batch: int,
        most: int,
        dtype: torch.dtype,
        gradients: bool,
    ) -> None:
        self.layers, self.batch, self.steps = layers, batch, steps
        self.tables = [
            table(of.rows, of_layer) for of, of_layer in zip(layers, slices, strict=True)
        ]
        self.inputs = [inputs, *(layer.hidden for layer in layers[:-1])]
        across = math.ceil(batch / LANES) * LANES
        size = 0
        for of, read in zip(layers, self.inputs, strict=True):
            rows = _rows(of, read)
            kept = of.module.buffers(steps if gradients else 1, across, of.hidden, rows)
            size += (steps + 1) * rows * across + sum(map(math.prod, kept))
        self.count = min(most, max(2, RESERVED // (size * dtype.itemsize)))
        slots = self.count + (most % self.count == 1 and most > self.count)
        self.hx = [
            _states(slots, steps, _rows(of, read), across, of.hidden + read, batch, dtype)
            for of, read in zip(layers, self.inputs, strict=True)
        ]
        self.slots = [
            [
                _Slot(of, read, hx[slot], steps if gradients else 0, first=number == 0)
                for number, (of, read, hx) in enumerate(
                    zip(layers, self.inputs, self.hx, strict=True)
                )
            ]
            for slot in range(slots)
        ]
        self.top = torch.empty(steps, layers[-1].hidden, across, dtype=dtype).numpy()

    def parts(self, members: int) -> list[range]:
        """The members in parts that the slots hold, none of a single one unless it is alone."""
        begins = list(range(0, members, self.count))
        if len(begins) > 1 and members - begins[-1] == 1:
            del begins[-1]
        ends = [*begins[1:], members]
        return [range(*both) for both in zip(begins, ends, strict=True)]

    def read(self, slot: int, x: np.ndarray) -> None:
        """Give a slot its input, x [B, T, D]."""
        fill(x, self.slots[slot][0].hx, self.layers[0].hidden)

    def forward(self, slot: int, row: np.ndarray) -> None:
        """Fill a slot's states, with the parameters of `row` [P]."""
        below = None
        for of, own, inputs, where in zip(
            self.layers, self.slots[slot], self.inputs, self.tables, strict=True
        ):
            if below is not None:
                own.hx[:-1, of.hidden : of.hidden + inputs] = below[1:, :inputs]
            pack(row, where, own.weights, of.hidden, inputs)
            of.module.forward(*own.forward)
            below = own.hx

    def share(self) -> None:
        """Give the second slot the top states of the first, for a member that is listed twice."""
        self.hx[-1][1] = self.hx[-1][0]

    def states(self, count: int, *, last_step_only: bool) -> Tensor:
        """The top layer's h [M, T, B, H] in the first slots, or [M, 1, B, H] of the last step."""
        first = self.steps if last_step_only else 1
        hx = self.hx[-1][:count, first:, : self.layers[-1].hidden, : self.batch]
        return hx.transpose(2, 3)

    def backward(self, slot: int, dh: Tensor, row: np.ndarray) -> None:
        """Write the gradients of a slot's weights into `row` [P].

        dh [T, B, H] or [1, B, H]: gradients of what `states` returned. A slot's states must be
        those of its last `forward`.
        """
        grads = self._units_first(dh)
        for of, own, inputs, where in zip(
            *map(reversed, (self.layers, self.slots[slot], self.inputs, self.tables)), strict=True
        ):
            of.module.backward(*own.before, grads, *own.after)
            unpack(own.gradients, where, row, of.hidden, inputs)
            grads = own.into

    def _units_first(self, dh: Tensor) -> np.ndarray:
        """Contiguous [T, H, B'] from dh [T, B, H]."""
        transposed = dh.transpose(1, 2)
        if transposed.is_contiguous() and transposed.shape[2] == self.top.shape[2]:
            array: np.ndarray = transposed.numpy()
            return array
        into = self.top[: len(dh)]
        transpose(dh.contiguous().numpy(), into)
        return into


def _rows(of: Layer, inputs: int) -> int:
    """K: states, inputs, ones; even."""
    width = of.hidden + inputs + 1
    return width + width % 2


def _states(
    slots: int, steps: int, rows: int, across: int, ones: int, batch: int, dtype: torch.dtype
) -> Tensor:
    """[slots, T + 1, K, B'] of zeros, with ones for the biases of the examples."""
    hx = torch.zeros(slots, steps + 1, rows, across, dtype=dtype)
    hx[:, :, ones, :batch] = 1
    return hx
