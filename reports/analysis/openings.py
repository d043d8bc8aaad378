"""When networks opened: between which probes, and whether before or after their loss had fallen."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.data.study import Study
from study.records import NETWORK

BEFORE, AFTER, UNKNOWN = "before", "after", "unknown"


def openings(study: Study) -> pd.DataFrame:
    """Of the points that opened, by id: `since`, `by` (updates) and `order`.

    They opened between the last probe that did not carry and the first from which all do. `order`:
    whether that was BEFORE the validation loss fell under health.stuck of the memoryless baseline
    for the first time (or it never did), or AFTER; UNKNOWN where these intervals overlap.
    """
    points = study.sampled
    opened = points[points["opened_at"].notna()].set_index("id")
    states = study.table("states")
    states = states[states["layer"] == NETWORK].join(opened["opened_at"], on="id", how="inner")
    earlier = states[states["update"] < states["opened_at"].astype(float)]
    since = earlier.groupby("id")["update"].max().astype(float)
    fell = _fell(study, opened)
    found = pd.DataFrame({"since": since, "by": opened["opened_at"].astype(float)}).dropna()
    found = found.join(fell)
    order = np.select(
        [found["by"] <= found["not_until"], found["since"] >= found["fell"]],
        [BEFORE, AFTER],
        default=UNKNOWN,
    )
    return found.assign(order=order)[["since", "by", "order"]]


def _fell(study: Study, points: pd.DataFrame) -> pd.DataFrame:
    """By id: `fell`, the first validation whose loss is below the share of the baseline (∞ if none
    is), and `not_until`, the validation before it. `points`: by id, with baseline_loss.
    """
    history = study.table("history")[["id", "update", "val_loss"]]
    history = history[np.isfinite(history["val_loss"].astype(float))]
    history = history.join(points["baseline_loss"], on="id", how="inner")
    limit = float(study.health.get("stuck", np.nan)) * history["baseline_loss"].astype(float)
    below = history["val_loss"].astype(float) < limit
    if limit.isna().all():
        return pd.DataFrame(columns=["fell", "not_until"], dtype=float)
    fell = history[below].groupby("id")["update"].min().reindex(history["id"].unique())
    fell = fell.astype(float).fillna(np.inf)
    until = history[history["update"] < history["id"].map(fell)].groupby("id")["update"].max()
    return pd.DataFrame({"fell": fell, "not_until": until.reindex(fell.index).astype(float)})
