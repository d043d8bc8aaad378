"""Critical initialization: on average, gradients of a plain network neither grow nor shrink.

Poole et al. 2016, Schoenholz et al. 2017.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer, require
from study.numerics.linear import orthogonal

NODES = 100  # of the Gauss-Hermite quadrature; even, so that none is at the kink of a ReLU


class Critical(Initializer):
    """σ_w·Q, Q orthogonal, such that χ = σ_w²·E[φ'(√q z)²] = 1, z ~ N(0, 1).

    The pre-activation variance q solves q = σ_w²·E[φ(√q z)²] + σ_x². Layer 1: σ_x² =
    D·Var(W_x)·E[x²] over the task's training examples; higher layers: H·Var(W_x)·E[φ²] of the layer
    below. Var(W_x) is that of the standing input rule, measured on a large draw. Mean-field theory
    of wide networks with independent inputs (Chen, Pennington & Schoenholz 2018): exact in the
    limit, approximate at finite width and for inputs that are correlated over time. Only for cells
    h_t = φ(W_x x_t + W_h h_{t-1} + b); gated cells have other Jacobians.
    """

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        activation = facts.activation
        if activation is None:
            require(
                False,
                "critical",
                "cell",
                "h_t = φ(W_x x_t + W_h h_(t-1) + b), such as rnn and rnn_relu; exclude others with"
                " study.exclude",
                "a gated cell",
            )
        assert activation is not None
        square = facts.input_drive
        for layer in range(1, block.layer + 1):
            inputs = facts.inputs if layer == 1 else facts.hidden
            drive = inputs * _variance(facts, layer, inputs) * square
            gain, square = solve(activation, drive)
        rows, columns = block.shape
        return gain * orthogonal(rows, columns, generator)


def _variance(facts: InitFacts, layer: int, inputs: int) -> float:
    """Variance of a layer's input weights under the standing rule, from at least 50,000 values."""
    block = Block(role="input", gate="", shape=(facts.hidden, inputs), layer=layer)
    draws = -(-50_000 // (facts.hidden * inputs))
    rng = torch.Generator().manual_seed(0)  # fixed, since the variance is a property of the rule
    return float(
        torch.stack([facts.input_rule(block, rng, facts) for _ in range(draws)]).square().mean()
    )


@functools.cache
def solve(activation: Callable[[Tensor], Tensor], drive: float) -> tuple[float, float]:
    """(σ_w, E[φ²]) with χ = 1 at pre-activations driven by inputs of variance `drive`.

    σ_w² = 1/E[φ'²] and q = σ_w²·E[φ²] + drive, by bisection on q: for tanh, the right-hand side
    minus q changes sign once. A ReLU has E[φ'²] = 1/2 and thus σ_w² = 2 at every q; its q grows
    without bound.
    """
    low, high = 1e-12, 1.0
    while _excess(activation, high, drive) > 0:
        high *= 2
        if high > 1e6:  # no fixed point: the variance keeps growing
            break
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _excess(activation, middle, drive) > 0 else (low, middle)
    value, slope = _moments(activation, (low + high) / 2)
    return float(slope**-0.5), value


def _excess(activation: Callable[[Tensor], Tensor], q: float, drive: float) -> float:
    value, slope = _moments(activation, q)
    return value / slope + drive - q


def _moments(activation: Callable[[Tensor], Tensor], q: float) -> tuple[float, float]:
    """E[φ(√q z)²] and E[φ'(√q z)²]."""
    nodes, weights = _quadrature()
    with torch.enable_grad():
        at = (q**0.5 * nodes).requires_grad_()
        value = activation(at)
        (slope,) = torch.autograd.grad(value.sum(), at)
    return float(weights @ value.detach().square()), float(weights @ slope.square())


@functools.cache
def _quadrature() -> tuple[Tensor, Tensor]:
    """Gauss-Hermite nodes and weights of the standard normal distribution."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return torch.tensor(nodes), torch.tensor(weights / weights.sum())
