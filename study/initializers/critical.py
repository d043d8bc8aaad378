"""Critical initialization: gradients of a plain network neither grow nor shrink in the mean (Poole
2016, Schoenholz 2017).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from study.interfaces import Block, InitFacts, Initializer, require
from study.numerics.linear import orthogonal

NODES = 100  # of the Gauss-Hermite quadrature; even, so that none lies on the kink of a ReLU


class Critical(Initializer):
    """σ_w*·Q, where χ = σ_w²·E[φ'(√q z)²] = 1, z ~ N(0, 1), at the pre-activation variance q that
    the task's input drives.

    q solves q = σ_w²·E[φ(√q z)²] + σ_x². Layer 1: σ_x² = D·Var(W_x)·E[x²], the mean square over the
    task's training examples; above: H·Var(W_x)·E[φ²] of the layer below. Var(W_x) is that of the
    standing input rule, measured on a large draw. Mean-field theory of wide networks with
    independent inputs (Chen, Pennington & Schoenholz 2018 for recurrent ones): exact in the limit,
    an approximation at finite width and for inputs that are alike from step to step. Only for cells
    h_t = φ(W_x x_t + W_h h_{t-1} + b); a gated cell has other Jacobians.
    """

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        activation = facts.activation
        if activation is None:
            require(
                False,
                "critical",
                "cell",
                "h_t = φ(W_x x_t + W_h h_(t-1) + b), as rnn and rnn_relu; leave others out by"
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
    """Of the standing rule's input weights for a layer, over as many draws of its block as give
    50,000 values.
    """
    of = Block(role="input", gate="", shape=(facts.hidden, inputs), layer=layer)
    draws = -(-50_000 // (facts.hidden * inputs))
    rng = torch.Generator().manual_seed(0)  # a property of the rule, the same for every point
    return float(
        torch.stack([facts.input_rule(of, rng, facts) for _ in range(draws)]).square().mean()
    )


@functools.cache
def solve(activation: Callable[[Tensor], Tensor], drive: float) -> tuple[float, float]:
    """(σ_w, E[φ²]) with χ = 1 at pre-activations driven by inputs of variance `drive`.

    σ_w² = 1/E[φ'²] and q = σ_w²·E[φ²] + drive, by bisection on q: the right-hand side minus q falls
    through 0 once for tanh. A ReLU has E[φ'²] = 1/2 at every q, so σ_w² = 2, and its q grows
    without end with any drive: that gain is returned.
    """
    low, high = 1e-12, 1.0
    while _excess(activation, high, drive) > 0:
        high *= 2
        if high > 1e6:  # no fixed point: the variance grows from step to step, slowly
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
