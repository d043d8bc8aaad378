"""Total derivatives at every state of a stacked recurrent network, with their scale as an exponent.

The backward passes are written out instead of using autograd for two reasons: they may run at the
end of the user's own backward pass, and every step's gradient is stored as mantissa and exponent,
so that no profile reads 0 or Inf where fp64 ends (at .5 per step: lag 1,075). s_t = h_t, or
[h_t, c_t] of an LSTM, as independent coordinates: the derivative at c_t leaves out the path through
h_t.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from study.diagnostics.modules import Recurrent, Weights
from study.health.lags import norm

ZERO = -1e9  # exponent of zero, below any other


@dataclass(frozen=True)
class Scaled:
    """values · 2**exponent: values [..., S], largest magnitude in [.5, 1), exponent [...].

    Zero has exponent ZERO.
    """

    values: Tensor
    exponent: Tensor

    def log10_norms(self) -> Tensor:
        """log10 of the norms [...]; −∞ for zero, Inf or NaN if not finite."""
        exponent = torch.where(self.exponent == ZERO, 0.0, self.exponent)
        return norm(self.values).log10() + exponent * math.log10(2)

    def part(self, start: int, end: int) -> Scaled:
        """Coordinates `start` to `end`, without normalising again."""
        return Scaled(self.values[..., start:end], self.exponent)


def scaled(values: Tensor, exponent: Tensor | None = None) -> Scaled:
    """values · 2**exponent, normalised exactly, by a power of two."""
    exponent = values.new_zeros(values.shape[:-1]) if exponent is None else exponent
    largest = values.abs().amax(-1)
    _, shift = torch.frexp(largest)
    some = (largest > 0) & largest.isfinite()
    # clamped, since the inverse of the smallest denormal is not representable
    shift = torch.where(some, shift, 0).clamp(min=-1000)
    values = torch.ldexp(values, -shift.to(values)[..., None])
    moved = exponent + shift
    return Scaled(values, torch.where(largest == 0, ZERO, moved))


def plus(a: Scaled, b: Scaled) -> Scaled:
    top = torch.maximum(a.exponent, b.exponent)
    down = [
        torch.where(part.exponent == ZERO, 0.0, torch.exp2(part.exponent - top))[..., None]
        * part.values
        for part in (a, b)
    ]
    return scaled(down[0] + down[1], top)


class LayerPass(ABC):
    """Forward pass of one layer: `states` [T, B, S], and what its Jacobians need."""

    states: Tensor

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    @abstractmethod
    def back(self, t: int, g: Tensor) -> tuple[Tensor, Tensor]:
        """(J_tᵀ g [B, S], gradient [B, G·H] at the projected input) from g [B, S] at s_t."""


class RNNPass(LayerPass):
    """h_t = φ(W_x x_t + b_x + W_h h_{t-1} + b_h), φ tanh or ReLU.

    The derivative of ReLU at 0 is 0, as in torch.
    """

    def __init__(self, weights: Weights, x: Tensor, first: Tensor, *, relu: bool) -> None:
        super().__init__(weights)
        drive, h, states = x @ weights.x.T + weights.b_x + weights.b_h, first, []
        for drive_t in drive:
            a = drive_t + h @ weights.h.T
            h = torch.relu(a) if relu else torch.tanh(a)
            states.append(h)
        self.states = torch.stack(states)
        self.slope = (self.states > 0).to(x) if relu else 1 - self.states**2

    def back(self, t: int, g: Tensor) -> tuple[Tensor, Tensor]:
        a = g * self.slope[t]
        return a @ self.weights.h, a


class LSTMPass(LayerPass):
    """i,f,o = σ(·), g = tanh(·), c_t = f⊙c_{t-1} + i⊙g, h_t = o⊙tanh(c_t); order: i, f, g, o."""

    def __init__(self, weights: Weights, x: Tensor, first: Tensor) -> None:
        super().__init__(weights)
        drive, (h, c) = x @ weights.x.T + weights.b_x + weights.b_h, first.chunk(2, -1)
        states, self.gates, self.before = [], [], []
        for drive_t in drive:
            i, f, g, o = (drive_t + h @ weights.h.T).chunk(4, -1)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            self.before.append(c)
            c = f * c + i * g
            h = o * c.tanh()
            self.gates.append((i, f, g, o))
            states.append(torch.cat([h, c], -1))
        self.states = torch.stack(states)

    def back(self, t: int, g: Tensor) -> tuple[Tensor, Tensor]:
        (dh, dc), (i, f, cand, o) = g.chunk(2, -1), self.gates[t]
        tanh_c = self.states[t].chunk(2, -1)[1].tanh()
        dc = dc + dh * o * (1 - tanh_c**2)
        a = torch.cat(
            [
                dc * cand * i * (1 - i),
                dc * self.before[t] * f * (1 - f),
                dc * i * (1 - cand**2),
                dh * tanh_c * o * (1 - o),
            ],
            -1,
        )
        return torch.cat([a @ self.weights.h, dc * f], -1), a


class GRUPass(LayerPass):
    """r,z = σ(·), n = tanh(W x + b_in + r⊙(U h + b_hn)), h_t = (1−z)⊙n + z⊙h_{t-1}.

    Gate order: r, z, n.
    """

    def __init__(self, weights: Weights, x: Tensor, first: Tensor) -> None:
        super().__init__(weights)
        drive, h, states = x @ weights.x.T + weights.b_x, first, []
        self.gates = []
        for drive_t in drive:
            (x_r, x_z, x_n), (h_r, h_z, h_n) = (
                drive_t.chunk(3, -1),
                (h @ weights.h.T + weights.b_h).chunk(3, -1),
            )
            r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
            n = (x_n + r * h_n).tanh()
            self.gates.append((r, z, n, h_n, h))
            h = (1 - z) * n + z * h
            states.append(h)
        self.states = torch.stack(states)

    def back(self, t: int, g: Tensor) -> tuple[Tensor, Tensor]:
        r, z, n, h_n, before = self.gates[t]
        a_n = g * (1 - z) * (1 - n**2)
        a_r, a_z = a_n * h_n * r * (1 - r), g * (before - n) * z * (1 - z)
        return g * z + torch.cat([a_r, a_z, a_n * r], -1) @ self.weights.h, torch.cat(
            [a_r, a_z, a_n], -1
        )


def unroll(network: Recurrent, x: Tensor, first: Sequence[Tensor]) -> list[LayerPass]:
    """Forward pass of all layers on x [T, B, D], from one first state [B, S] per layer.

    Without dropout.
    """
    layers: list[LayerPass] = []
    with torch.no_grad():
        for weights, start in zip(network.layers, first, strict=True):
            if network.kind == "lstm":
                layers.append(LSTMPass(weights, x, start))
            elif network.kind == "gru":
                layers.append(GRUPass(weights, x, start))
            else:
                layers.append(RNNPass(weights, x, start, relu=network.kind == "relu"))
            x = layers[-1].states[..., : network.hidden]
    return layers


def pull_back(layers: Sequence[LayerPass], direct: Sequence[Tensor]) -> list[Scaled]:
    """Total derivatives dl/ds_t [T, B, S] of each layer from the direct ones ∂l/∂s_t [T, B, S].

    A zero gradient stays zero through any Jacobian, even Inf, so that padded steps have no effect.
    """
    totals: list[Scaled] = []
    with torch.no_grad():
        from_above: Scaled | None = None
        for layer, layer_direct in zip(reversed(layers), reversed(direct), strict=True):
            incoming = scaled(layer_direct)
            if from_above is not None:
                width = (
                    layer_direct.shape[-1] - from_above.values.shape[-1]
                )  # the layer above reads h, not c
                incoming = plus(
                    incoming,
                    Scaled(
                        torch.nn.functional.pad(from_above.values, (0, width)), from_above.exponent
                    ),
                )
            total, from_above = _through_time(layer, incoming)
            totals.append(total)
    return totals[::-1]


def _through_time(layer: LayerPass, direct: Scaled) -> tuple[Scaled, Scaled]:
    """(total derivatives at the states, and at the layer's input), each [T, B, ·]."""
    steps = len(direct.values)
    total: list[Scaled] = [Scaled(direct.values[t], direct.exponent[t]) for t in range(steps)]
    inputs: list[Tensor] = [direct.values[0]] * steps
    for t in reversed(range(steps)):
        g = total[t]
        is_zero = (g.exponent == ZERO)[:, None]
        back, a = layer.back(t, g.values)
        inputs[t] = torch.where(is_zero, 0.0, a)
        if t:
            total[t - 1] = plus(total[t - 1], scaled(torch.where(is_zero, 0.0, back), g.exponent))
    exponent = torch.stack([g.exponent for g in total])
    to_input = scaled(
        torch.stack(inputs) @ layer.weights.x, torch.where(exponent == ZERO, 0.0, exponent)
    )
    return Scaled(torch.stack([g.values for g in total]), exponent), to_input
