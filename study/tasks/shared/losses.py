"""Losses and metrics by example, [M, B]; nothing here reduces over members."""

from __future__ import annotations

import torch
from torch import Tensor


def cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy in nats: outputs [..., C], class numbers y [...] -> [...]."""
    return torch.logsumexp(outputs, dim=-1) - outputs.gather(-1, y[..., None])[..., 0]


def mean_cross_entropy(outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropies [M], and the gradient of their sum at the outputs [M, …, C].

    On the CPU, without a graph, to the last bit as by autograd from `cross_entropy`.
    """
    # imported here, since importing the compiler is slow
    from study.kernels.native.updates import at_outputs, cross_entropies

    outputs, chosen = outputs.contiguous(), y.flatten().numpy()
    total = torch.logsumexp(outputs, dim=-1)
    losses, grad = torch.empty_like(total), torch.empty_like(outputs)
    classes = outputs.shape[-1]
    flat, of_grad = (tensor.view(-1, classes).numpy() for tensor in (outputs, grad))
    cross_entropies(flat, total.view(-1).numpy(), chosen, losses.view(-1).numpy(), of_grad)
    grad.exp_()
    at_outputs(of_grad, chosen, _share(losses).numpy()[()])
    return losses.mean(tuple(range(1, losses.ndim))), grad


def mean_squared_error(outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """As `mean_cross_entropy`, of `squared_error` of outputs [M, B, O]."""
    error = outputs - y
    losses = error.square().mean(-1)
    return losses.mean(1), error.mul_(2).mul_(_share(losses) / outputs.shape[-1])


def _share(losses: Tensor) -> Tensor:
    """The weight of each of losses [M, …] in their mean, rounded as by autograd."""
    return losses.new_ones(()) / losses[0].numel()


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
