"""What surrounds the recurrence of each layer: a block of your own, one step at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import LayerBlock, Parameter, Params, require
from study.numerics.linear import linear


class Skeleton(LayerBlock):
    """y = x + scale · tanh(W h + b): a skip around the recurrence and one dense layer.

    The contract (study/interfaces.py): a block sees one step of one example at a time, so that
    lags, padding and carried states stay what they are; members come first and never mix. Its
    tensors have the roles readout (filled by weights.readout) and bias (starts at 0).
    """

    def __init__(self, *, scale: float) -> None:
        require(scale > 0, "skeleton", "scale", "greater than 0", scale)
        self.scale = scale

    def shapes(self, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight", "readout", ("x",), (hidden, hidden)),
            Parameter("bias", "bias", ("x",), (hidden,)),
        )

    def before(self, params: Params, x: Tensor) -> Tensor:
        return x

    def after(self, params: Params, x: Tensor, h: Tensor) -> Tensor:
        """[M, T, B, H] twice -> [M, T, B, H]. `linear` gives the same bits in any company."""
        return x + self.scale * torch.tanh(linear(h, params["weight"], params["bias"]))
