"""Plain recurrent layer of one member: h_t = tanh or ReLU of W [h_{t-1}, x_t, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np

from study.kernels.native.maths import add_squares, add_step, compiled, put, tanh, zeros
from study.kernels.native.products import add_sums, padded, product, tiles, unpack
from study.kernels.native.sizes import GAP, PANEL, STRETCH
from study.kernels.native.vectors import at_least, load, store, where_positive, width


def buffers(steps: int, batch: int, hidden: int, rows: int) -> tuple[tuple[int, ...], ...]:
    """None: the backward pass needs h alone."""
    return ()


@compiled
def forward(hx: Any, weight: Any, relu: bool) -> None:
    """Fills h from hx [T + 1, K, B], which holds h_0, x and ones, and weight [H, K]."""
    _, rows, batch = hx.shape
    (hidden, terms), lane = weight.shape, width(hx)
    for start in range(0, batch, PANEL):
        columns = min(PANEL, batch - start)
        for t in range(len(hx) - 1):
            before, after = t * rows * batch + start, (t + 1) * rows * batch + start
            product(weight, 0, hidden, 0, terms, hx, before, batch, hx, after, batch, columns)
            for j in range(hidden):
                for at in range(after + j * batch, after + j * batch + columns, lane):
                    z = load(hx, at)
                    store(hx, at, at_least(z, 0.0) if relu else tanh(z))


@compiled
def backward(
    hx: Any, weight: Any, dh_out: Any, dweight: Any, dx: Any, step_norms: Any, taps: Any, relu: bool
) -> None:
    """Fills dweight [H, K] and the other outputs from dh_out [≤ T, H, B] (see layer.py)."""
    steps, (_, hidden, batch) = len(hx) - 1, dh_out.shape
    rows, inputs, lane = hx.shape[1], dx.shape[1], width(hx)
    across, sums = np.ascontiguousarray(weight.T), zeros(1, tiles(hidden, weight.shape[1]), hx)[0]
    dz, dh = zeros(padded(hidden), STRETCH + GAP, hx), zeros(hidden, PANEL, hx)
    low = dz.shape[1]
    for start in range(0, batch, PANEL):
        columns = min(PANEL, batch - start)
        chunk = STRETCH // columns
        dh[:] = 0
        for t in range(steps - 1, -1, -1):
            place = (t % chunk) * columns
            add_step(dh_out, t, steps, start, columns, dh)
            for j in range(hidden):
                for b in range(0, columns, lane):
                    back = load(dh, j * PANEL + b)
                    h = load(hx, ((t + 1) * rows + j) * batch + start + b)
                    store(
                        dz,
                        j * low + place + b,
                        where_positive(h, back) if relu else back * (1.0 - h * h),
                    )
            if len(step_norms):
                add_squares(dh, 0, columns, step_norms[t, start : start + columns])
            if len(taps):
                put(dh, columns, taps, t * hidden * batch + start, batch)
            product(across, 0, hidden, 0, hidden, dz, place, low, dh, 0, PANEL, columns)
            if inputs:
                product(
                    across,
                    hidden,
                    inputs,
                    0,
                    hidden,
                    dz,
                    place,
                    low,
                    dx,
                    t * inputs * batch + start,
                    batch,
                    columns,
                )
            if place == 0 and len(dweight):
                add_sums(dz, hx, t, start, columns, min(chunk, steps - t), hidden, sums)
    unpack(sums, dweight)
