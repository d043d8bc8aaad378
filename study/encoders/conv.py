"""Convolutional encoder: one layer of filters over the image of each step."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Encoder, Parameter, Params, require
from study.numerics.linear import linear


class Conv(Encoder):
    """Convolves the first rows · columns inputs of each step, an image; the others pass unchanged.

    `filters` kernels of side x side with a bias (no padding, stride 1), then the maximum over
    disjoint pool x pool windows (incomplete ones are dropped), then ReLU. D' = filters · windows +
    unchanged inputs. If the images are windows of a strip that move by `pool` columns per step and
    overlap by side - 1 columns, this is the convolution of the whole strip.
    """

    def __init__(self, *, rows: int, columns: int, filters: int, side: int, pool: int) -> None:
        require(filters >= 1, "conv", "filters", "at least 1", filters)
        require(pool >= 1, "conv", "pool", "at least 1", pool)
        largest = min(rows, columns) + 1 - pool
        require(
            1 <= side <= largest,
            "conv",
            "side",
            f"at least 1 and at most {largest} with pool {pool} in images of {rows} x {columns}",
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
        """Rows and columns after pooling."""
        down, right = ((size + 1 - self.side) // self.pool for size in (self.rows, self.columns))
        return down, right

    def outputs(self, inputs: int) -> int:
        pixels = self.rows * self.columns
        require(
            inputs >= pixels,
            "conv",
            "rows · columns",
            f"at most the task's {inputs} inputs per step (each step is one image)",
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
        image = x[..., :pixels].unflatten(-1, (self.rows, self.columns))
        # [M, T, B, rows, columns, side, side]
        patches = image.unfold(-2, self.side, 1).unfold(-2, self.side, 1)[
            ..., : down * pool, : right * pool, :, :
        ]
        # [M, T, B · places, filters]
        found = linear(patches.flatten(-2).flatten(2, 4), params["weight"], params["bias"])
        found = found.view(*x.shape[:3], down, pool, right, pool, self.filters).amax((4, 6)).relu()
        return torch.cat([found.flatten(3), x[..., pixels:]], dim=-1)
