"""GRU layer (reset before the product), forward and back (equations: study/kernels/gru.py), of one member."""

from __future__ import annotations

from typing import Any

import numpy as np

from study.kernels.native.maths import add_product, compiled, sigmoid_, sum_of_squares


def buffers(steps: int, batch: int, hidden: int, width: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of what the way back needs: gates r, z; s = σ(2·) of the candidate; n - h_{t-1}; [r⊙h, x, 1]."""
    return (steps, batch, 2 * hidden), (steps, batch, hidden), (steps, batch, hidden), (steps, batch, width)


@compiled
def forward(hx: Any, weight_rz: Any, weight_n: Any, rz: Any, s: Any, change: Any, reset: Any) -> None:
    """hx [T + 1, B, K] with h_0, x and ones in place, weight_rz [2H, K], weight_n [H, K] doubled; fills h and the buffers."""
    steps, batch, hidden = s.shape
    two, one = weight_n.dtype.type(2), weight_n.dtype.type(1)
    for t in range(steps):
        np.dot(hx[t], weight_rz.T, rz[t])
        sigmoid_(rz[t].reshape(-1))
        for b in range(batch):
            gate, h, again = rz[t, b], hx[t, b], reset[t, b]
            for j in range(hidden):
                again[j] = gate[j] * h[j]
            again[hidden:] = h[hidden:]
        np.dot(reset[t], weight_n.T, s[t])
        sigmoid_(s[t].reshape(-1))
        for b in range(batch):
            gate, before, half, moved, after = rz[t, b], hx[t, b], s[t, b], change[t, b], hx[t + 1, b]
            for j in range(hidden):
                moved[j] = two * half[j] - one - before[j]
            for j in range(hidden):
                after[j] = before[j] + gate[hidden + j] * moved[j]


@compiled
def backward(
    hx: Any,
    weight_rz: Any,
    weight_n: Any,
    rz: Any,
    s: Any,
    change: Any,
    reset: Any,
    dh_out: Any,
    dweight_rz: Any,
    dweight_n: Any,
    dx: Any,
    reach: Any,
    chunk: int,
) -> None:
    """From dh_out [T, B, H]: adds to dweight_rz and dweight_n, fills dx [T, B, D] and reach [T, B], ‖dL/dh_t‖² (both may be empty: not asked for).

    `chunk` steps a product.
    """
    steps, batch, hidden = s.shape
    inputs, width, dtype = dx.shape[2], weight_n.shape[1], weight_n.dtype
    two, one = dtype.type(2), dtype.type(1)
    drz, dn = np.empty((chunk, batch, 2 * hidden), dtype), np.empty((chunk, batch, hidden), dtype)
    dhx, dreset, back = np.empty((batch, width), dtype), np.empty((batch, width), dtype), np.zeros((batch, hidden), dtype)
    scratch_rz, scratch_n = np.empty_like(dweight_rz), np.empty_like(dweight_n)
    for t in range(steps - 1, -1, -1):
        place = t % chunk
        for b in range(batch):
            gate, half, moved, dgate, dnew, dh, out = rz[t, b], s[t, b], change[t, b], drz[place, b], dn[place, b], back[b], dh_out[t, b]
            for j in range(hidden):
                dh[j] += out[j]
            if len(reach):
                reach[t, b] = sum_of_squares(dh)
            for j in range(hidden):
                z = gate[hidden + j]
                dgate[hidden + j] = dh[j] * moved[j] * z * (one - z)
            for j in range(hidden):
                dnew[j] = two * dh[j] * gate[hidden + j] * half[j] * (one - half[j])
        np.dot(dn[place], weight_n, dreset)
        for b in range(batch):
            gate, h, dgate, dagain = rz[t, b], hx[t, b], drz[place, b], dreset[b]
            for j in range(hidden):
                dgate[j] = dagain[j] * h[j] * gate[j] * (one - gate[j])
        np.dot(drz[place], weight_rz, dhx)
        for b in range(batch):
            gate, dagain, dbefore, dh = rz[t, b], dreset[b], dhx[b], back[b]
            for j in range(hidden):
                dh[j] += dagain[j] * gate[j] + dbefore[j] - dh[j] * gate[hidden + j]
            if inputs:
                dx[t, b] = dbefore[hidden : hidden + inputs] + dagain[hidden : hidden + inputs]
        if place == 0:
            many = min(chunk, steps - t)
            add_product(drz[:many].reshape(many * batch, 2 * hidden), hx[t : t + many].reshape(many * batch, width), dweight_rz, scratch_rz)
            add_product(dn[:many].reshape(many * batch, hidden), reset[t : t + many].reshape(many * batch, width), dweight_n, scratch_n)
