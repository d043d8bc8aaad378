"""GRU layer (reset before the product) of one member (equations: study/cells/gru.py).

Backward, with G the gradient of h_t: z gets G⊙(n - h_{t-1}), n gets G⊙z, R = dz_n W_n, r gets
R⊙h_{t-1}, then G ← G⊙(1-z) + R⊙r + [dz_r, dz_z] W_rz.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from study.kernels.native.maths import add_squares, add_step, compiled, put, sigmoid, tanh, zeros
from study.kernels.native.products import add_sums, padded, product, tiles, unpack
from study.kernels.native.sizes import GAP, PANEL, STRETCH
from study.kernels.native.vectors import load, store, width


def buffers(steps: int, batch: int, hidden: int, rows: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of the buffers that the backward pass needs: gates r, z; candidate n; [r⊙h, x, 1]."""
    return (steps, 2 * hidden, batch), (steps, hidden, batch), (steps, rows, batch)


@compiled
def forward(hx: Any, weight_rz: Any, weight_n: Any, rz: Any, n: Any, reset: Any) -> None:
    """Fills h and the buffers from hx [T + 1, K, B], weight_rz [2H, K] and weight_n [H, K].

    hx holds h_0, x and ones. Buffers with fewer steps are used cyclically.
    """
    _, rows, batch = hx.shape
    (hidden, terms), lane = weight_n.shape, width(hx)
    for start in range(0, batch, PANEL):
        columns = min(PANEL, batch - start)
        for t in range(len(hx) - 1):
            slot = t % len(n)
            gate, new, again = (
                slot * 2 * hidden * batch + start,
                slot * hidden * batch + start,
                slot * rows * batch + start,
            )
            before, after = t * rows * batch + start, (t + 1) * rows * batch + start
            product(weight_rz, 0, 2 * hidden, 0, terms, hx, before, batch, rz, gate, batch, columns)
            for j in range(hidden):
                for b in range(j * batch, j * batch + columns, lane):
                    r, z = sigmoid(load(rz, gate + b)), sigmoid(load(rz, gate + hidden * batch + b))
                    store(rz, gate + b, r)
                    store(rz, gate + hidden * batch + b, z)
                    store(reset, again + b, r * load(hx, before + b))
            for j in range(hidden, rows):
                for b in range(j * batch, j * batch + columns, lane):
                    store(reset, again + b, load(hx, before + b))
            product(weight_n, 0, hidden, 0, terms, reset, again, batch, n, new, batch, columns)
            for j in range(hidden):
                for b in range(j * batch, j * batch + columns, lane):
                    candidate, h = tanh(load(n, new + b)), load(hx, before + b)
                    store(n, new + b, candidate)
                    store(hx, after + b, h + load(rz, gate + hidden * batch + b) * (candidate - h))


@compiled
def backward(
    hx: Any,
    weight_rz: Any,
    weight_n: Any,
    rz: Any,
    n: Any,
    reset: Any,
    dh_out: Any,
    dweight_rz: Any,
    dweight_n: Any,
    dx: Any,
    step_norms: Any,
    taps: Any,
) -> None:
    """Fills both dweights and the other outputs from dh_out [≤ T, H, B] (see layer.py)."""
    steps, (_, hidden, batch) = len(hx) - 1, dh_out.shape
    rows, inputs, terms, lane = hx.shape[1], dx.shape[1], weight_n.shape[1], width(hx)
    across_rz, across_n = np.ascontiguousarray(weight_rz.T), np.ascontiguousarray(weight_n.T)
    sums_rz, sums_n = (
        zeros(1, tiles(2 * hidden, terms), hx)[0],
        zeros(1, tiles(hidden, terms), hx)[0],
    )
    drz, dn = zeros(padded(2 * hidden), STRETCH + GAP, hx), zeros(padded(hidden), STRETCH + GAP, hx)
    dh, dgates, dreset = (
        zeros(hidden, PANEL, hx),
        zeros(hidden, PANEL, hx),
        zeros(hidden + inputs, PANEL, hx),
    )
    low = drz.shape[1]
    for start in range(0, batch, PANEL):
        columns = min(PANEL, batch - start)
        chunk = STRETCH // columns
        dh[:] = 0
        for t in range(steps - 1, -1, -1):
            place = (t % chunk) * columns
            add_step(dh_out, t, steps, start, columns, dh)
            for j in range(hidden):
                for b in range(0, columns, lane):
                    at, here, d = (
                        (t * hidden + j) * batch + start + b,
                        j * PANEL + b,
                        j * low + place + b,
                    )
                    z, candidate = (
                        load(rz, ((2 * t + 1) * hidden + j) * batch + start + b),
                        load(n, at),
                    )
                    back = load(dh, here)
                    store(
                        drz,
                        d + hidden * low,
                        back
                        * (candidate - load(hx, (t * rows + j) * batch + start + b))
                        * (z - z * z),
                    )
                    store(dn, d, back * z * (1.0 - candidate * candidate))
            if len(step_norms):
                add_squares(dh, 0, columns, step_norms[t, start : start + columns])
            if len(taps):
                put(dh, columns, taps, t * hidden * batch + start, batch)
            product(
                across_n, 0, hidden + inputs, 0, hidden, dn, place, low, dreset, 0, PANEL, columns
            )
            for j in range(hidden):
                for b in range(0, columns, lane):
                    r, h = (
                        load(rz, (2 * t * hidden + j) * batch + start + b),
                        load(hx, (t * rows + j) * batch + start + b),
                    )
                    store(drz, j * low + place + b, load(dreset, j * PANEL + b) * h * (r - r * r))
            product(across_rz, 0, hidden, 0, 2 * hidden, drz, place, low, dgates, 0, PANEL, columns)
            for j in range(hidden):
                for b in range(0, columns, lane):
                    gate, here = (2 * t * hidden + j) * batch + start + b, j * PANEL + b
                    back = load(dh, here)
                    store(
                        dh,
                        here,
                        back
                        - back * load(rz, gate + hidden * batch)
                        + load(dreset, here) * load(rz, gate)
                        + load(dgates, here),
                    )
            if inputs:
                product(
                    across_rz,
                    hidden,
                    inputs,
                    0,
                    2 * hidden,
                    drz,
                    place,
                    low,
                    dx,
                    t * inputs * batch + start,
                    batch,
                    columns,
                )
                for j in range(inputs):
                    for b in range(0, columns, lane):
                        at = (t * inputs + j) * batch + start + b
                        store(dx, at, load(dx, at) + load(dreset, (hidden + j) * PANEL + b))
            if place == 0 and len(dweight_n):
                count = min(chunk, steps - t)
                add_sums(drz, hx, t, start, columns, count, 2 * hidden, sums_rz)
                add_sums(dn, reset, t, start, columns, count, hidden, sums_n)
    unpack(sums_rz, dweight_rz)
    unpack(sums_n, dweight_n)
