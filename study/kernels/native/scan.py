"""Linear recurrences of one member: s_t = a_t ⊙ s_{t-1} + b_t, in real and in complex numbers.

Element-wise, so one pass over memory forward and one back: no product of matrices to share. Both
passes may start from a state and hand one on, so that long sequences can be computed in blocks.
"""

from __future__ import annotations

from typing import Any

from study.kernels.native.maths import compiled


@compiled
def forward(a: Any, b: Any, first: Any, s: Any) -> None:
    """Fills s [T, N] from a and b [T, N] and the state `first` [N] before them."""
    before = first
    for t in range(len(s)):
        for n in range(s.shape[1]):
            s[t, n] = a[t, n] * before[n] + b[t, n]
        before = s[t]


@compiled
def backward(a: Any, first: Any, s: Any, given: Any, carry: Any, ds: Any, da: Any) -> None:
    """Fills ds [T, N] with total gradients, dL/ds_t = dL/db_t, and da.

    given [≤ T, N]: gradients by step, of the last steps. carry [N]: the gradient at the last state
    from later steps; it becomes the one at `first`.
    """
    earlier = len(s) - len(given)
    for t in range(len(s) - 1, -1, -1):
        before = s[t - 1] if t else first
        if t >= earlier:
            for n in range(s.shape[1]):
                carry[n] += given[t - earlier, n]
        for n in range(s.shape[1]):
            total = carry[n]
            ds[t, n] = total
            da[t, n] = total * before[n]
            carry[n] = a[t, n] * total


@compiled
def forward_complex(a: Any, b: Any, first: Any, s: Any) -> None:
    """As `forward` with a constant a [2, H], real and imaginary parts; s, b [T, B, 2H] and first
    [B, 2H]: real parts, then imaginary ones.
    """
    hidden = a.shape[1]
    before = first
    for t in range(len(s)):
        for e in range(s.shape[1]):
            for n in range(hidden):
                re, im = before[e, n], before[e, hidden + n]
                s[t, e, n] = b[t, e, n] + (a[0, n] * re - a[1, n] * im)
                s[t, e, hidden + n] = b[t, e, hidden + n] + (a[0, n] * im + a[1, n] * re)
        before = s[t]


@compiled
def backward_complex(
    a: Any, first: Any, s: Any, read: Any, own: Any, carry: Any, db: Any, apart: Any, da: Any
) -> None:
    """As `backward`; db [T, B, 2H] is filled with dL/db_t, da [2, H] with sums over steps and
    examples in one order.

    read, own [≤ T, B, 2H]: gradients by step, of the last steps, from what is read of s_t in its
    own step, and from s_t as a state. apart [T or 0, B, 2H]: dL/ds_t but for what is read.
    """
    hidden = a.shape[1]
    read_from, own_from = len(s) - len(read), len(s) - len(own)
    da[:] = 0
    for t in range(len(s) - 1, -1, -1):
        before = s[t - 1] if t else first
        if t >= own_from:
            carry += own[t - own_from]
        if len(apart):
            apart[t] = carry
        if t >= read_from:
            carry += read[t - read_from]
        for e in range(s.shape[1]):
            for n in range(hidden):
                g_re, g_im = carry[e, n], carry[e, hidden + n]
                re, im = before[e, n], before[e, hidden + n]
                db[t, e, n], db[t, e, hidden + n] = g_re, g_im
                da[0, n] += g_re * re + g_im * im
                da[1, n] += g_im * re - g_re * im
                carry[e, n] = a[0, n] * g_re + a[1, n] * g_im
                carry[e, hidden + n] = a[0, n] * g_im - a[1, n] * g_re
