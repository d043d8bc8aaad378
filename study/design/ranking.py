"""Ranks arms by validation score, so that test examples do not influence the choice.

Imports pandas only, for reports and for confirmation runs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

DIVERGED = "diverged"


def counted(points: pd.DataFrame, column: str, *, higher_is_better: bool) -> pd.Series:
    """Scores of points; a diverged point gets the memoryless baseline if its own is better.

    NaN: missing.
    """
    score, baseline = points[column].to_numpy(dtype=float), points["baseline"].to_numpy(dtype=float)
    worst = np.fmin(score, baseline) if higher_is_better else np.fmax(score, baseline)
    return pd.Series(np.where(points["status"] == DIVERGED, worst, score), index=points.index)


def best_first(points: pd.DataFrame, *, higher_is_better: bool) -> list[int]:
    """Arm numbers (column `arm`), best mean validation score first, ties in numerical order."""
    values = counted(points, "val_score", higher_is_better=higher_is_better)
    means = values.groupby(points["arm"]).mean().dropna().sort_index()
    return [
        int(arm) for arm in means.sort_values(ascending=not higher_is_better, kind="stable").index
    ]
