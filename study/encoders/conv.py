"""Convolutional encoder: one layer of filters over the picture of each step."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Encoder, Parameter, Params, require
from study.numerics.linear import linear


class Conv(Encoder):
    """The first rows · columns inputs of a step are a picture, row by row; what is behind them
    passes as it is.

    `filters` kernels of side² weights over every place where they lie inside the picture (no
    padding, stride 1), a bias each, the maximum over pool x pool places that do not overlap (a rest
    is left out), ReLU. D' = filters · places left + what passes. Where pictures are windows of a
    strip, `pool` columns on at each step and side - 1 columns wider, this is the convolution of the
    whole strip.
    """

    def __init__(self, *, rows: int, columns: int, filters: int, side: int, pool: int) -> None:
        require(filters >= 1, "conv", "filters", "at least 1", filters)
        require(pool >= 1, "conv", "pool", "at least 1", pool)
        most = min(rows, columns) + 1 - pool
        require(
            1 <= side <= most,
            "conv",
            "side",
            f"at least 1 and at most {most} with pool {pool} in pictures of {rows} x {columns}",
            side,
        )
        self.rows, self.columns, self.filters, self.side, self.pool = (
            rows,
            columns,
            filters,
            side,
            pool,
        )

    @property
    def places(self) -> tuple[int, int]:
        """Rows and columns that are left."""
        down, right = ((size + 1 - self.side) // self.pool for size in (self.rows, self.columns))
        return down, right

    def outputs(self, inputs: int) -> int:
        pixels = self.rows * self.columns
        require(
            inputs >= pixels,
            "conv",
            "rows · columns",
            f"at most the task's {inputs} inputs a step (each step is a picture of its own)",
            pixels,
        )
        down, right = self.places
        return self.filters * down * right + inputs - pixels

    def shapes(self, inputs: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight", "input", ("filter",), (self.filters, self.side**2)),
            Parameter("bias", "bias", ("filter",), (self.filters,)),
        )

    def __call__(self, params: Params, x: Tensor) -> Tensor:
        pixels, (down, right), pool = self.rows * self.columns, self.places, self.pool
        picture = x[..., :pixels].unflatten(-1, (self.rows, self.columns))
        # [M, T, B, rows, columns, side, side]
        patches = picture.unfold(-2, self.side, 1).unfold(-2, self.side, 1)[
            ..., : down * pool, : right * pool, :, :
        ]
        # [M, T, B · places, filters]
        found = linear(patches.flatten(-2).flatten(2, 4), params["weight"], params["bias"])
        found = found.view(*x.shape[:3], down, pool, right, pool, self.filters).amax((4, 6)).relu()
        return torch.cat([found.flatten(3), x[..., pixels:]], dim=-1)
