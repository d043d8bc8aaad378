"""Which arms are best: by validation, so that no test example has a part in the choice.

pandas only: the report and a confirmation need it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

DIVERGED = "diverged"


def counted(points: pd.DataFrame, column: str, *, higher_is_better: bool) -> pd.Series:
    """The score each point counts with: a diverged one counts with the memoryless baseline, or what
    it had if that was worse. NaN: not there.
    """
    score, baseline = points[column].to_numpy(dtype=float), points["baseline"].to_numpy(dtype=float)
    worst = np.fmin(score, baseline) if higher_is_better else np.fmax(score, baseline)
    return pd.Series(np.where(points["status"] == DIVERGED, worst, score), index=points.index)


def best_first(points: pd.DataFrame, *, higher_is_better: bool) -> list[int]:
    """Numbers of the arms (column `arm`), best mean validation score first; equals in the order of
    their numbers.
    """
    values = counted(points, "val_score", higher_is_better=higher_is_better)
    means = values.groupby(points["arm"]).mean().dropna().sort_index()
    return [
        int(arm) for arm in means.sort_values(ascending=not higher_is_better, kind="stable").index
    ]
