"""Verdicts of points stored by earlier versions, judged again where they rest on the wrong probes.

Those versions took the last three probes as the end, whichever they were, and did not keep from
which update on they judged (records: judged_from).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from study.health.end_state import JUDGED, LAST, LATE, layers_rows
from study.health.profiles import Thresholds
from study.health.verdicts import opened_loss
from study.records import NETWORK, TABLES
from study.store import Damaged, Store

Layers = Sequence[Mapping[str, Any]]  # rows of layers.parquet; [] if it cannot be judged


def judge_again(store: Store, points: pd.DataFrame, health: Mapping[str, Any]) -> dict[str, Layers]:
    """Layers by point id, of the points with a verdict for which probes before the end counted.

    These are points that ended early as solved, which were probed once at their end, and those of
    studies with few late stages. `health`: the study's settings.
    """
    early_stages = any(share < LATE for share in sorted(health.get("stages", []))[-LAST:])
    doubted = points[
        points["judged_from"].isna()
        & points["verdict"].notna()
        & (points["status"] == "done")
        & ((points["ended_early"] == "solved") | early_stages)
    ]
    known = set(Thresholds.__dataclass_fields__) <= set(health)
    return {
        row.id: _layers(store, row, Thresholds.from_health(health)) if known else []
        for row in doubted.itertuples(index=False)
    }


def _layers(store: Store, point: Any, limits: Thresholds) -> Layers:
    try:
        states = store.table("states", [point.id])
    except Damaged:
        return []
    updates = int(point.updates_done)
    return layers_rows(
        states.sort_values("stage", kind="stable").to_dict("records"),
        limits,
        diverged=False,
        updates=updates,
        solved_from=updates if point.ended_early == "solved" else None,
    )


def with_verdicts(store: Store, points: pd.DataFrame, again: Mapping[str, Layers]) -> pd.DataFrame:
    """The points with what was judged again; what cannot be judged has no end state and verdict."""
    if not again:
        return points
    points = points.set_index("id", drop=False)
    baselines = points["baseline_loss"]
    found = {id: _columns(store, id, baselines[id], layers) for id, layers in again.items()}
    judged = pd.DataFrame.from_dict(found, orient="index")
    for name in judged:
        numeric = pd.api.types.is_numeric_dtype(points[name])
        values = judged[name].astype(float) if numeric else judged[name].astype(object)
        points.loc[judged.index, name] = values if numeric else values.where(values.notna(), None)
    return points.reset_index(drop=True)


def as_judged(store: Store, row: Mapping[str, Any], health: Mapping[str, Any]) -> dict[str, Any]:
    """The stored row of one point, with what is judged again."""
    names = ("id", "status", "verdict", "judged_from", "ended_early", "updates_done")
    again = judge_again(store, pd.DataFrame([{name: row.get(name) for name in names}]), health)
    judged = [_columns(store, id, row.get("baseline_loss"), layers) for id, layers in again.items()]
    return {**row, **(judged[0] if judged else {})}


def _columns(store: Store, id: str, baseline_loss: float | None, layers: Layers) -> dict[str, Any]:
    """The columns of records.POINTS that change; null if there are no layers."""
    network = next((row for row in layers if row["layer"] == NETWORK), {})
    found = {name: network.get(name) for name in JUDGED if not name.endswith("_init")}
    return {
        **found,
        "opened_loss": _opened_loss(store, id, network.get("opened_at"), baseline_loss),
    }


def _opened_loss(
    store: Store, id: str, opened_at: float | None, baseline_loss: float | None
) -> float | None:
    if opened_at is None or baseline_loss is None:
        return None
    try:
        history = store.table("history", [id])
    except Damaged:
        return None
    checks = history[np.isfinite(history["val_loss"].astype(float))]
    if checks.empty:
        return None
    updates, losses = checks["update"].tolist(), checks["val_loss"].tolist()
    return opened_loss(int(opened_at), updates, losses, float(baseline_loss))


def with_layers(rows: pd.DataFrame, again: Mapping[str, Layers]) -> pd.DataFrame:
    """Rows of the table `layers` with those of the points that were judged again."""
    if not again:
        return rows
    judged = [{"id": id, **row} for id, layers in again.items() for row in layers]
    kept = rows[~rows["id"].isin(list(again))]
    names = ["id", *(column.name for column in TABLES["layers"])]
    parts = [part for part in (kept, pd.DataFrame(judged)) if len(part)]
    return pd.concat(parts)[names] if parts else rows.iloc[:0]
