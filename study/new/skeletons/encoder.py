"""An encoder of your own: what the first layer reads of each step, trained with the rest."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Encoder, Parameter, Params, require
from study.numerics.linear import linear


class Skeleton(Encoder):
    """x'_t = tanh(W x_t + b): one dense layer, the same at every step.

    The contract (study/interfaces.py): an encoder sees one step of one example at a time, so that
    lags, padding and carried states stay what they are; members come first and never mix.
    `outputs` states the new width, or raises the ValueError that names the widths it takes. Its
    tensors have the roles input (filled by weights.input) and bias (starts at 0). Blocks of a
    multiple of 16 values let members be trained side by side.
    """

    def __init__(self, *, width: int) -> None:
        require(width >= 1, "skeleton", "width", "at least 1", width)
        self.width = width

    def outputs(self, inputs: int) -> int:
        return self.width

    def shapes(self, inputs: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight", "input", ("x",), (self.width, inputs)),
            Parameter("bias", "bias", ("x",), (self.width,)),
        )

    def __call__(self, params: Params, x: Tensor) -> Tensor:
        """[M, T, B, D] -> [M, T, B, width]. `linear` gives the same bits in any company."""
        return torch.tanh(linear(x, params["weight"], params["bias"]))
