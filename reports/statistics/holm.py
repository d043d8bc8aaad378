"""Holm's correction for a family of tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

FAMILY_ERROR = 0.05
CLOSE = 3  # standard errors of a p from permutations, within which luck could decide


def holm(p: Sequence[float]) -> list[float]:
    """p adjusted by Holm (1979); NaN (not testable) stays and does not count."""
    values = np.asarray(p, dtype=float)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(len(values), math.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return [float(value) for value in adjusted]


def rejected(p: Sequence[float], draws: Sequence[int]) -> list[bool | None]:
    """Which hypotheses Holm rejects at FAMILY_ERROR; None if not testable or too close to call.

    `draws`: permutations behind each p, 0 if it is exact. Too close: the answer would be another if
    all p lay CLOSE of their Monte Carlo standard errors, √(p(1 − p)/draws), higher or lower.
    """
    values, n = np.asarray(p, dtype=float), np.asarray(draws, dtype=float)
    error = np.where(n > 0, np.sqrt(values * (1 - values) / np.maximum(n, 1)), 0.0)
    lowest = holm(np.clip(values - CLOSE * error, 0, 1).tolist())
    highest = holm(np.clip(values + CLOSE * error, 0, 1).tolist())
    return [
        True if high <= FAMILY_ERROR else False if low > FAMILY_ERROR else None
        for low, high in zip(lowest, highest, strict=True)
    ]
