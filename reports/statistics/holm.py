"""Holm's correction for a family of tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from statsmodels.stats.multitest import multipletests


def holm(p: Sequence[float]) -> list[float]:
    """p adjusted by Holm (1979); NaN (not testable) stays and does not count."""
    values = np.asarray(p, dtype=float)
    known = np.isfinite(values)
    adjusted = np.full(len(values), math.nan)
    if known.any():
        adjusted[known] = multipletests(values[known], method="holm")[1]
    return [float(value) for value in adjusted]
