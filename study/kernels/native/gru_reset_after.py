"""GRU layer (reset after the product) of one member.

The rows of one joined weight give r and z (before the sigmoid), p = U h_{t-1} + b_hn and
u = W x_t + b_in, with zeros where a row does not read x or h. n = tanh(u + r⊙p),
h_t = n + z⊙(h_{t-1} - n). Backward, with G the gradient of h_t: u gets a = G⊙(1-z)⊙(1-n²), p gets
a⊙r, r gets a⊙p, z gets G⊙(h_{t-1} - n), then G ← G⊙z plus the product with W.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from study.kernels.native.maths import add_squares, add_step, compiled, put, sigmoid, tanh, zeros
from study.kernels.native.products import add_sums, padded, product, tiles, unpack
from study.kernels.native.sizes import GAP, PANEL, STRETCH
from study.kernels.native.vectors import load, store, width


def buffers(steps: int, batch: int, hidden: int, rows: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of the buffers that the backward pass needs: r, z, p, and n in place of u."""
    return ((steps, 4 * hidden, batch),)


@compiled
def forward(hx: Any, weight: Any, parts: Any) -> None:
    """Fills h and the buffer from hx [T + 1, K, B] and weight [4H, K].

    hx holds h_0, x and ones. A buffer with fewer steps is used cyclically.
    """
    _, rows, batch = hx.shape
    hidden, terms, lane = parts.shape[1] // 4, weight.shape[1], width(hx)
    row = hidden * batch
    for start in range(0, batch, PANEL):
        columns = min(PANEL, batch - start)
        for t in range(len(hx) - 1):
            part, before, after = (
                (t % len(parts)) * 4 * row + start,
                t * rows * batch + start,
                (t + 1) * rows * batch + start,
            )
            product(weight, 0, 3 * hidden, 0, terms, hx, before, batch, parts, part, batch, columns)
            product(
                weight,
                3 * hidden,
                hidden,
                hidden,
                terms - hidden,
                hx,
                before + row,
                batch,
                parts,
                part + 3 * row,
                batch,
                columns,
            )
            for j in range(hidden):
                for b in range(j * batch, j * batch + columns, lane):
                    r, z = sigmoid(load(parts, part + b)), sigmoid(load(parts, part + row + b))
                    n, h = (
                        tanh(load(parts, part + 3 * row + b) + r * load(parts, part + 2 * row + b)),
                        load(hx, before + b),
                    )
                    store(parts, part + b, r)
                    store(parts, part + row + b, z)
                    store(parts, part + 3 * row + b, n)
                    store(hx, after + b, n + z * (h - n))


@compiled
def backward(
    hx: Any, weight: Any, parts: Any, dh_out: Any, dweight: Any, dx: Any, step_norms: Any, taps: Any
) -> None:
    """Fills dweight [4H, K] and the other outputs from dh_out [≤ T, H, B] (see layer.py)."""
    steps, (_, hidden, batch) = len(hx) - 1, dh_out.shape
    rows, inputs, lane = hx.shape[1], dx.shape[1], width(hx)
    across, sums = (
        np.ascontiguousarray(weight.T),
        zeros(1, tiles(4 * hidden, weight.shape[1]), hx)[0],
    )
    dz, dh, dgates = (
        zeros(padded(4 * hidden), STRETCH + GAP, hx),
        zeros(hidden, PANEL, hx),
        zeros(hidden, PANEL, hx),
    )
    low, row = dz.shape[1], hidden * batch
    for start in range(0, batch, PANEL):
        columns = min(PANEL, batch - start)
        chunk = STRETCH // columns
        dh[:] = 0
        for t in range(steps - 1, -1, -1):
            place = (t % chunk) * columns
            add_step(dh_out, t, steps, start, columns, dh)
            for j in range(hidden):
                for b in range(0, columns, lane):
                    part, d, here = (
                        (4 * t * hidden + j) * batch + start + b,
                        j * low + place + b,
                        j * PANEL + b,
                    )
                    r, z, n = (
                        load(parts, part),
                        load(parts, part + row),
                        load(parts, part + 3 * row),
                    )
                    back = load(dh, here)
                    dn = back * (1.0 - z) * (1.0 - n * n)
                    store(dz, d + 3 * hidden * low, dn)
                    store(dz, d + 2 * hidden * low, dn * r)
                    store(dz, d, dn * load(parts, part + 2 * row) * (r - r * r))
                    store(
                        dz,
                        d + hidden * low,
                        back * (load(hx, (t * rows + j) * batch + start + b) - n) * (z - z * z),
                    )
            if len(step_norms):
                add_squares(dh, 0, columns, step_norms[t, start : start + columns])
            if len(taps):
                put(dh, columns, taps, t * hidden * batch + start, batch)
            # u does not read h
            product(across, 0, hidden, 0, 3 * hidden, dz, place, low, dgates, 0, PANEL, columns)
            for j in range(hidden):
                for b in range(0, columns, lane):
                    here = j * PANEL + b
                    store(
                        dh,
                        here,
                        load(dh, here) * load(parts, ((4 * t + 1) * hidden + j) * batch + start + b)
                        + load(dgates, here),
                    )
            if inputs:
                product(
                    across,
                    hidden,
                    inputs,
                    0,
                    4 * hidden,
                    dz,
                    place,
                    low,
                    dx,
                    t * inputs * batch + start,
                    batch,
                    columns,
                )
            if place == 0 and len(dweight):
                add_sums(dz, hx, t, start, columns, min(chunk, steps - t), 4 * hidden, sums)
    unpack(sums, dweight)
