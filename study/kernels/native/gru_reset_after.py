"""GRU layer (reset after the product), forward and back, of one member.

One product a step gives r and z (before the sigmoid), p = U h_{t-1} + b_hn and u = W x_t + b_in: rows of the weight that do
not read x, or h, are zero there. n = tanh(u + r⊙p), h_t = n + z⊙(h_{t-1} - n).
Backward, with G the gradient of h_t: a = G⊙(1-z)⊙(1-n²) is that of u; p gets a⊙r, r gets a⊙p, z gets G⊙(h_{t-1} - n),
then G ← G⊙z and the product with W.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from study.kernels.native.maths import add_product, compiled, sigmoid, sigmoid_, sum_of_squares


def buffers(steps: int, batch: int, hidden: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of what the way back needs: r, z, p, u as computed; n."""
    return (steps, batch, 4 * hidden), (steps, batch, hidden)


@compiled
def forward(hx: Any, weight: Any, parts: Any, n: Any) -> None:
    """hx [T + 1, B, K] with h_0, x and ones in place, weight [4H, K]; fills h and the buffers."""
    steps, batch, hidden = n.shape
    two, one = weight.dtype.type(2), weight.dtype.type(1)
    for t in range(steps):
        np.dot(hx[t], weight.T, parts[t])
        for b in range(batch):
            part, new, before, after = parts[t, b], n[t, b], hx[t, b], hx[t + 1, b]
            sigmoid_(part[: 2 * hidden])
            for j in range(hidden):
                new[j] = two * sigmoid(two * (part[3 * hidden + j] + part[j] * part[2 * hidden + j])) - one
            for j in range(hidden):
                after[j] = new[j] + part[hidden + j] * (before[j] - new[j])


@compiled
def backward(hx: Any, weight: Any, parts: Any, n: Any, dh_out: Any, dweight: Any, dx: Any, reach: Any, chunk: int) -> None:
    """From dh_out [T, B, H]: adds to dweight [4H, K], fills dx [T, B, D] and reach [T, B], ‖dL/dh_t‖² (both may be empty: not asked for).

    `chunk` steps a product.
    """
    steps, batch, hidden = n.shape
    inputs, width, dtype = dx.shape[2], weight.shape[1], weight.dtype
    one = dtype.type(1)
    dparts, dhx = np.empty((chunk, batch, 4 * hidden), dtype), np.empty((batch, width), dtype)
    back, scratch = np.zeros((batch, hidden), dtype), np.empty_like(dweight)
    for t in range(steps - 1, -1, -1):
        place = t % chunk
        for b in range(batch):
            part, new, before, d, dh, out = parts[t, b], n[t, b], hx[t, b], dparts[place, b], back[b], dh_out[t, b]
            for j in range(hidden):
                dh[j] += out[j]
            if len(reach):
                reach[t, b] = sum_of_squares(dh)
            for j in range(hidden):
                d[3 * hidden + j] = dh[j] * (one - part[hidden + j]) * (one - new[j] * new[j])
            for j in range(hidden):
                d[2 * hidden + j] = d[3 * hidden + j] * part[j]
            for j in range(hidden):
                d[j] = d[3 * hidden + j] * part[2 * hidden + j] * part[j] * (one - part[j])
            for j in range(hidden):
                z = part[hidden + j]
                d[hidden + j] = dh[j] * (before[j] - new[j]) * z * (one - z)
        np.dot(dparts[place], weight, dhx)
        for b in range(batch):
            part, dh, dbefore = parts[t, b], back[b], dhx[b]
            for j in range(hidden):
                dh[j] = dh[j] * part[hidden + j] + dbefore[j]
            if inputs:
                dx[t, b] = dbefore[hidden : hidden + inputs]
        if place == 0:
            many = min(chunk, steps - t)
            add_product(dparts[:many].reshape(many * batch, 4 * hidden), hx[t : t + many].reshape(many * batch, width), dweight, scratch)
