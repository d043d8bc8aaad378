"""Plain recurrent layer, forward and back, of one member: h_t = tanh or ReLU of W [h_{t-1}, x_t, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np

from study.kernels.native.maths import add_product, compiled, sigmoid, sum_of_squares


def buffers(steps: int, batch: int, hidden: int) -> tuple[tuple[int, ...], ...]:
    """Nothing is needed on the way back but h."""
    return ((1, batch, hidden),)


@compiled
def forward(hx: Any, weight: Any, z: Any, relu: bool) -> None:
    """hx [T + 1, B, K] with h_0, x and ones in place, weight [H, K]; fills h. tanh(z) = 2σ(2z) - 1."""
    _, batch, hidden = z.shape
    two, one, zero = weight.dtype.type(2), weight.dtype.type(1), weight.dtype.type(0)
    for t in range(len(hx) - 1):
        np.dot(hx[t], weight.T, z[0])
        for b in range(batch):
            before, h = z[0, b], hx[t + 1, b]
            if relu:
                for j in range(hidden):
                    h[j] = zero if before[j] < zero else before[j]  # NaN stays
            else:
                for j in range(hidden):
                    h[j] = two * sigmoid(two * before[j]) - one


@compiled
def backward(hx: Any, weight: Any, z: Any, dh_out: Any, dweight: Any, dx: Any, reach: Any, chunk: int, relu: bool) -> None:
    """From dh_out [T, B, H]: adds to dweight [H, K], fills dx [T, B, D] and reach [T, B], ‖dL/dh_t‖² (both may be empty: not asked for).

    `chunk` steps a product.
    """
    steps, batch, hidden = dh_out.shape
    inputs, width = dx.shape[2], weight.shape[1]
    one, zero = weight.dtype.type(1), weight.dtype.type(0)
    dz, dhx, scratch = np.empty((chunk, batch, hidden), weight.dtype), np.zeros((batch, width), weight.dtype), np.empty_like(dweight)
    for t in range(steps - 1, -1, -1):
        place = t % chunk
        for b in range(batch):
            d, h, back, out = dz[place, b], hx[t + 1, b], dhx[b], dh_out[t, b]
            if len(reach):
                for j in range(hidden):
                    d[j] = back[j] + out[j]
                reach[t, b] = sum_of_squares(d)
            if relu:
                for j in range(hidden):
                    d[j] = (back[j] + out[j]) * (one if h[j] > zero else zero)
            else:
                for j in range(hidden):
                    d[j] = (back[j] + out[j]) * (one - h[j] * h[j])
        np.dot(dz[place], weight, dhx)
        if inputs:
            dx[t] = dhx[:, hidden : hidden + inputs]
        if place == 0:
            many = min(chunk, steps - t)
            add_product(dz[:many].reshape(many * batch, hidden), hx[t : t + many].reshape(many * batch, width), dweight, scratch)
