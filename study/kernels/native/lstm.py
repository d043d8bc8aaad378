"""LSTM layer of one member (equations: study/kernels/lstm.py)."""

from __future__ import annotations

from typing import Any

import numpy as np

from study.kernels.native.maths import add_squares, add_step, compiled, put, sigmoid, tanh, zeros
from study.kernels.native.products import add_sums, padded, product, tiles, unpack
from study.kernels.native.sizes import GAP, PANEL, STRETCH
from study.kernels.native.vectors import load, store, width


def buffers(steps: int, batch: int, hidden: int, rows: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of the buffers that the backward pass needs: gates i, f, g, o; c from c_0 on."""
    return (steps, 4 * hidden, batch), (steps + 1, hidden, batch)


@compiled
def forward(hx: Any, weight: Any, gates: Any, c: Any) -> None:
    """Fills h and the buffers from hx [T + 1, K, B] and weight [4H, K].

    hx holds h_0, x and ones. Buffers with fewer steps are used cyclically.
    """
    _, rows, batch = hx.shape
    hidden, terms, lane = c.shape[1], weight.shape[1], width(hx)
    c[0] = 0
    for start in range(0, batch, PANEL):
        columns = min(PANEL, batch - start)
        for t in range(len(hx) - 1):
            slot = t % len(gates)
            gate, before, after = (
                slot * 4 * hidden * batch + start,
                (t % len(c)) * hidden * batch + start,
                ((t + 1) % len(c)) * hidden * batch + start,
            )
            h = (t + 1) * rows * batch + start
            product(
                weight,
                0,
                4 * hidden,
                0,
                terms,
                hx,
                t * rows * batch + start,
                batch,
                gates,
                gate,
                batch,
                columns,
            )
            for j in range(hidden):
                for b in range(j * batch, j * batch + columns, lane):
                    i = sigmoid(load(gates, gate + b))
                    f = sigmoid(load(gates, gate + hidden * batch + b))
                    g = tanh(load(gates, gate + 2 * hidden * batch + b))
                    o = sigmoid(load(gates, gate + 3 * hidden * batch + b))
                    cell = f * load(c, before + b) + i * g
                    store(gates, gate + b, i)
                    store(gates, gate + hidden * batch + b, f)
                    store(gates, gate + 2 * hidden * batch + b, g)
                    store(gates, gate + 3 * hidden * batch + b, o)
                    store(c, after + b, cell)
                    store(hx, h + b, o * tanh(cell))


@compiled
def backward(
    hx: Any,
    weight: Any,
    gates: Any,
    c: Any,
    dh_out: Any,
    dc_out: Any,
    dweight: Any,
    dx: Any,
    step_norms: Any,
    taps: Any,
) -> None:
    """Fills dweight [4H, K] and the other outputs from dh_out and dc_out, each [≤ T, H, B].

    The outputs are described in layer.py.
    """
    steps, (_, hidden, batch) = len(hx) - 1, dh_out.shape
    inputs, lane = dx.shape[1], width(hx)
    across, sums = (
        np.ascontiguousarray(weight.T),
        zeros(1, tiles(4 * hidden, weight.shape[1]), hx)[0],
    )
    dz = zeros(padded(4 * hidden), STRETCH + GAP, hx)
    dh, dc = zeros(hidden, PANEL, hx), zeros(hidden, PANEL, hx)
    low = dz.shape[1]
    for start in range(0, batch, PANEL):
        columns = min(PANEL, batch - start)
        chunk = STRETCH // columns
        dh[:] = 0
        dc[:] = 0
        for t in range(steps - 1, -1, -1):
            place = (t % chunk) * columns
            add_step(dh_out, t, steps, start, columns, dh)
            add_step(dc_out, t, steps, start, columns, dc)
            if len(taps):  # before the path through h_t is added
                put(dc, columns, taps, (2 * t + 1) * hidden * batch + start, batch)
            for j in range(hidden):
                for b in range(0, columns, lane):
                    gate, at, d, here = (
                        (t * 4 * hidden + j) * batch + start + b,
                        (t * hidden + j) * batch + start + b,
                        j * low + place + b,
                        j * PANEL + b,
                    )
                    i, f = load(gates, gate), load(gates, gate + hidden * batch)
                    g, o = (
                        load(gates, gate + 2 * hidden * batch),
                        load(gates, gate + 3 * hidden * batch),
                    )
                    # cheaper to recompute than to load
                    small = tanh(load(c, at + hidden * batch))
                    back = load(dh, here)
                    dcell = load(dc, here) + back * o * (1.0 - small * small)
                    store(dz, d, dcell * g * (i - i * i))
                    store(dz, d + hidden * low, dcell * load(c, at) * (f - f * f))
                    store(dz, d + 2 * hidden * low, dcell * i * (1.0 - g * g))
                    store(dz, d + 3 * hidden * low, back * small * (o - o * o))
                    store(dc, here, dcell * f)
            if len(step_norms):
                add_squares(dh, 0, columns, step_norms[t, start : start + columns])
            if len(taps):
                put(dh, columns, taps, 2 * t * hidden * batch + start, batch)
            product(across, 0, hidden, 0, 4 * hidden, dz, place, low, dh, 0, PANEL, columns)
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
