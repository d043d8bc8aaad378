"""Gradient norms that do not overflow, and clipping to a norm."""

from __future__ import annotations

import torch
from torch import Tensor


def norm(grads: Tensor) -> Tensor:
    """Norm of each member's gradients, [M, P] -> [M, 1] in fp64: fp32 squares cannot overflow."""
    return torch.linalg.vector_norm(grads, dim=-1, keepdim=True, dtype=torch.float64)


def clip_to_norm(grads: Tensor, length: Tensor, limit: Tensor) -> Tensor:
    """Scale gradients from norm `length` down to `limit`; shorter ones are returned bit for bit.

    length, limit: fp64, broadcast against [M, P].
    """
    over = length > limit  # false for NaN, which the engine then detects
    factor = torch.where(over, limit / length, 1.0)
    return torch.where(over, grads * factor.to(grads.dtype), grads)


def known_true(flag: Tensor) -> bool:
    """Whether a CPU flag is true; always False on a GPU, where reading it would synchronize."""
    return flag.device.type == "cpu" and bool(flag)
