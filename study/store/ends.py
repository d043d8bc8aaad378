"""Whether points end solved, for points that were stored before this was a column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from study.store.store import Store

AT_ONCE = 1000  # histories that are read together


def with_ends(
    store: Store, points: pd.DataFrame, tasks: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Points with `ends_solved`; where it is null, by the last validation in the point's history.

    `points`: columns id, task, outcome and ends_solved. `tasks`: facts by the name of the task; of
    one task, the name does not matter.
    """
    points, only = points.copy(), next(iter(tasks.values())) if len(tasks) == 1 else {}
    unknown = points["outcome"].eq("solved") & points["ends_solved"].isna()
    last = _last_validations(store, points.loc[unknown, "id"].tolist())
    for place, point in points[unknown & points["id"].isin(last.index)].iterrows():
        facts = tasks.get(str(point["task"]), only)
        if facts.get("solved") is not None:
            score, limit = float(last[point["id"]]), float(facts["solved"])
            higher = facts.get("higher_is_better", True)
            points.at[place, "ends_solved"] = score >= limit if higher else score <= limit
    return points


def _last_validations(store: Store, ids: Sequence[str]) -> pd.Series:
    """The validation score at the last validation, by id."""
    parts = []
    for start in range(0, len(ids), AT_ONCE):
        history = store.table("history", ids[start : start + AT_ONCE])
        history = history[history["val_score"].notna()].sort_values(["id", "update"])
        parts.append(history.groupby("id")["val_score"].last())
    return pd.concat(parts) if parts else pd.Series(dtype=float)
