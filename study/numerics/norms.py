"""Lengths of gradients for clip rules: norms that do not overflow, and shortening to a limit."""

from __future__ import annotations

import torch
from torch import Tensor


def norm(grads: Tensor) -> Tensor:
    """Norm of each member's gradients, [M, P] -> [M, 1] in fp64: squares of finite fp32 values
    never overflow there.
    """
    return torch.linalg.vector_norm(grads, dim=-1, keepdim=True, dtype=torch.float64)


def shortened(grads: Tensor, length: Tensor, limit: Tensor) -> Tensor:
    """Gradients scaled from `length` to `limit` where they are longer; others bit for bit.

    Both fp64, broadcast against [M, P].
    """
    over = length > limit  # false for NaN: what is not a number is left for the engine to see
    factor = torch.where(over, limit / length, 1.0)
    return torch.where(over, grads * factor.to(grads.dtype), grads)


def surely(flag: Tensor) -> bool:
    """Whether a flag is true, where asking costs nothing: beside a GPU it would wait for all that
    is under way, so there nothing is sure.
    """
    return flag.device.type == "cpu" and bool(flag)
