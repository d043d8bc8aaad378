"""Recurrent weights, input weights and bias joined in one matrix, so that a step is one product.

[h_{t-1}, x_t, 1] has width K: H + D + 1 padded with zeros to whole cache lines, so that all members
have the same alignment and their numbers do not depend on how many there are. The projected input
of all steps, [T, B, gates], is never materialized.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LINE = 16  # values per cache line


def width(inputs: int, hidden: int) -> int:
    """K, the padded width."""
    return math.ceil((hidden + inputs + 1) / LINE) * LINE


def weights(weight_h: Tensor, weight_x: Tensor, bias: Tensor) -> Tensor:
    """[M, rows, K] from [M, rows, H], [M, rows, D], [M, rows]."""
    members, rows, hidden = weight_h.shape
    inputs = weight_x.shape[-1]
    joined = weight_h.new_zeros(members, rows, width(inputs, hidden))
    joined[..., :hidden] = weight_h
    joined[..., hidden : hidden + inputs] = weight_x
    joined[..., hidden + inputs] = bias
    return joined


def split(joined: Tensor, hidden: int, inputs: int) -> tuple[Tensor, Tensor, Tensor]:
    """The three parts of a gradient of `weights`."""
    return joined[..., :hidden], joined[..., hidden : hidden + inputs], joined[..., hidden + inputs]


def states(x: Tensor, hidden: int) -> Tensor:
    """[T + 1, M, B, K] that holds x [M, T, B, D] and the ones; the states are still 0."""
    members, steps, batch, inputs = x.shape
    joined = x.new_zeros(steps + 1, members, batch, width(inputs, hidden))
    joined[:steps, ..., hidden : hidden + inputs] = x.transpose(0, 1)
    joined[..., hidden + inputs] = 1
    return joined


def tanh_of_half(z: Tensor, out: Tensor) -> Tensor:
    """tanh(z/2) = 2σ(z) - 1: torch's vectorized sigmoid is three times as fast as its tanh."""
    return torch.sigmoid(z, out=out).mul_(2).sub_(1)
