"""Losses and metrics by example, [M, B]; nothing here reduces over members."""

from __future__ import annotations

import torch
from torch import Tensor


def cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy in nats: outputs [..., C], class numbers y [...] -> [...]."""
    return torch.logsumexp(outputs, dim=-1) - outputs.gather(-1, y[..., None])[..., 0]


def squared_error(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean square over the last axis: [..., O] -> [...]."""
    return (outputs - y).square().mean(-1)


def absolute_error(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference over the last axis: [..., O] -> [...]."""
    return (outputs - y).abs().mean(-1)


def pinball(outputs: Tensor, y: Tensor, quantiles: Tensor) -> Tensor:
    """Mean over targets and quantiles [Q] of the quantile loss: [..., O, Q], [..., O] -> [...].

    Koenker and Bassett (1978): q·e where the error e = y - output is positive, (q - 1)·e elsewhere.
    """
    error = y[..., None] - outputs
    return torch.maximum(quantiles * error, (quantiles - 1) * error).mean((-2, -1))


def correct(outputs: Tensor, y: Tensor) -> Tensor:
    """1 where the largest output is the class, else 0."""
    return (outputs.argmax(-1) == y).double()


def among(outputs: Tensor, y: Tensor, count: int) -> Tensor:
    """1 where the class is among the `count` largest outputs, else 0."""
    return (outputs.topk(count, -1).indices == y[..., None]).any(-1).double()


def at_step(losses: Tensor, anchor: Tensor) -> Tensor:
    """Select each example's step `anchor` [B] from losses [M, B, T] -> [M, B]."""
    return losses.gather(-1, anchor.to(losses.device)[None, :, None].expand(len(losses), -1, 1))[
        ..., 0
    ]
