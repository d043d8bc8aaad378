"""Linear recurrences of one member: s_t = a_t ⊙ s_{t-1} + b_t, in real and in complex numbers.

Element-wise, so one pass over memory forward and one back: no product of matrices to share.
"""

from __future__ import annotations

from typing import Any

from study.kernels.native.maths import compiled


@compiled
def forward(a: Any, b: Any, s: Any) -> None:
    """Fills s [T, N] from a and b [T, N]; s_0 = 0."""
    s[0] = b[0]
    for t in range(1, len(s)):
        for n in range(s.shape[1]):
            s[t, n] = a[t, n] * s[t - 1, n] + b[t, n]


@compiled
def backward(a: Any, s: Any, ds: Any, da: Any) -> None:
    """Turns ds [T, N] from gradients by step into total ones, dL/ds_t = dL/db_t; fills da."""
    for t in range(len(s) - 1, 0, -1):
        for n in range(s.shape[1]):
            da[t, n] = ds[t, n] * s[t - 1, n]
            ds[t - 1, n] += a[t, n] * ds[t, n]
    da[0] = 0


@compiled
def forward_complex(a: Any, s: Any) -> None:
    """As `forward` with a constant a [2, H], real and imaginary parts; s [2, T, B, H] holds b."""
    for t in range(1, s.shape[1]):
        for e in range(s.shape[2]):
            for n in range(s.shape[3]):
                re, im = s[0, t - 1, e, n], s[1, t - 1, e, n]
                s[0, t, e, n] += a[0, n] * re - a[1, n] * im
                s[1, t, e, n] += a[0, n] * im + a[1, n] * re


@compiled
def backward_complex(a: Any, s: Any, read: Any, ds: Any, da: Any) -> None:
    """As `backward`, apart for what is read of s_t in its own step: `read`, like ds.

    ds becomes dL/ds_t but for that, `read` dL/db_t, which is all of it. da [2, H] is summed over
    steps and examples in one order.
    """
    da[:] = 0
    for t in range(s.shape[1] - 1, -1, -1):
        for e in range(s.shape[2]):
            for n in range(s.shape[3]):
                g_re, g_im = ds[0, t, e, n] + read[0, t, e, n], ds[1, t, e, n] + read[1, t, e, n]
                read[0, t, e, n], read[1, t, e, n] = g_re, g_im
                if t:
                    re, im = s[0, t - 1, e, n], s[1, t - 1, e, n]
                    da[0, n] += g_re * re + g_im * im
                    da[1, n] += g_im * re - g_re * im
                    ds[0, t - 1, e, n] += a[0, n] * g_re + a[1, n] * g_im
                    ds[1, t - 1, e, n] += a[0, n] * g_im - a[1, n] * g_re
