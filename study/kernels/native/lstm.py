"""LSTM layer, forward and back (equations: study/kernels/lstm.py), of one member."""

from __future__ import annotations

from typing import Any

import numpy as np

from study.kernels.native.maths import add_product, compiled, sigmoid, sigmoid_, sum_of_squares


def buffers(steps: int, batch: int, hidden: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of what the way back needs: gates i, f, s, o; c from c_0 on; tanh c."""
    return (steps, batch, 4 * hidden), (steps + 1, batch, hidden), (steps, batch, hidden)


@compiled
def forward(hx: Any, weight: Any, gates: Any, c: Any, tanh_c: Any) -> None:
    """hx [T + 1, B, K] with h_0, x and ones in place, weight [4H, K] with g's rows doubled; fills h and the buffers."""
    steps, batch, width = gates.shape
    hidden = width // 4
    two, one = weight.dtype.type(2), weight.dtype.type(1)
    c[0] = 0
    for t in range(steps):
        np.dot(hx[t], weight.T, gates[t])
        sigmoid_(gates[t].reshape(-1))
        for b in range(batch):
            gate, before, after, squashed, h = gates[t, b], c[t, b], c[t + 1, b], tanh_c[t, b], hx[t + 1, b]
            for j in range(hidden):
                after[j] = gate[hidden + j] * before[j] + gate[j] * (two * gate[2 * hidden + j] - one)
            for j in range(hidden):
                squashed[j] = two * sigmoid(two * after[j]) - one
            for j in range(hidden):
                h[j] = gate[3 * hidden + j] * squashed[j]


@compiled
def backward(hx: Any, weight: Any, gates: Any, c: Any, tanh_c: Any, dh_out: Any, dweight: Any, dx: Any, reach: Any, chunk: int) -> None:
    """From dh_out [T, B, H]: adds to dweight [4H, K], fills dx [T, B, D] and reach [T, B], ‖dL/dh_t‖² (both may be empty: not asked for).

    `chunk` steps a product.
    """
    steps, batch, width = gates.shape
    hidden, inputs = width // 4, dx.shape[2]
    two, one = weight.dtype.type(2), weight.dtype.type(1)
    dz = np.empty((chunk, batch, width), weight.dtype)
    dhx, dc = np.zeros((batch, weight.shape[1]), weight.dtype), np.zeros((batch, hidden), weight.dtype)
    dh, scratch = np.empty(hidden, weight.dtype), np.empty_like(dweight)
    for t in range(steps - 1, -1, -1):
        place = t % chunk
        for b in range(batch):
            gate, d, squashed, before, dcell = gates[t, b], dz[place, b], tanh_c[t, b], c[t, b], dc[b]
            back, out = dhx[b], dh_out[t, b]
            for j in range(hidden):
                dh[j] = back[j] + out[j]
            if len(reach):
                reach[t, b] = sum_of_squares(dh)
            for j in range(hidden):
                o = gate[3 * hidden + j]
                d[3 * hidden + j] = dh[j] * squashed[j] * o * (one - o)
            for j in range(hidden):
                dcell[j] += dh[j] * gate[3 * hidden + j] * (one - squashed[j] * squashed[j])
            for j in range(hidden):
                i = gate[j]
                d[j] = dcell[j] * (two * gate[2 * hidden + j] - one) * i * (one - i)
            for j in range(hidden):
                f = gate[hidden + j]
                d[hidden + j] = dcell[j] * before[j] * f * (one - f)
            for j in range(hidden):
                s = gate[2 * hidden + j]
                d[2 * hidden + j] = two * dcell[j] * gate[j] * s * (one - s)
            for j in range(hidden):
                dcell[j] *= gate[hidden + j]
        np.dot(dz[place], weight, dhx)
        if inputs:
            dx[t] = dhx[:, hidden : hidden + inputs]
        if place == 0:
            many = min(chunk, steps - t)
            add_product(dz[:many].reshape(many * batch, width), hx[t : t + many].reshape(many * batch, weight.shape[1]), dweight, scratch)
