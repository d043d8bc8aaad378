"""Whether transport D predicts success: D at a share of the run against outcome and score."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.data.study import Study
from reports.formatting import interval, known, level, listing, number
from reports.statistics import Estimate, Prediction, predict
from reports.statistics.survival import planned_updates
from study.records import NETWORK

SEED = 2026  # of the bootstrap: the same store gives the same interval
MOST = 5  # most levels in a sentence


def at_share(study: Study, share: float) -> pd.Series:
    """D of the network by point id, at the probe nearest to a share of the updates.

    At share 1, the D that decides the verdict.
    """
    if share >= 1:
        return study.stored.set_index("id")["D"].astype(float)
    states = study.table("states")
    states = states[states["layer"] == NETWORK].merge(
        study.stored.assign(planned=planned_updates)[["id", "planned"]], on="id"
    )
    if states.empty:
        return pd.Series(dtype=float)
    away = (states["update"].astype(float) - share * states["planned"]).abs()
    nearest = states.assign(away=away).sort_values(["id", "away"]).groupby("id").head(1)
    return nearest.set_index("id")["D"].astype(float)


def prediction(study: Study, points: pd.DataFrame, D: pd.Series, draws: int) -> Prediction:
    """The prediction over these points (those that are listed, in a large study).

    Scores enter as ranks within their task, best last, since tasks have no common scale.
    """
    points = study.for_listing(points)
    of_task = points["counted"].groupby(points["task"])
    better = (of_task.rank(ascending=study.higher_is_better) - 0.5) / of_task.transform("count")
    return predict(
        points["id"].map(D).to_numpy(dtype=float),
        (points["outcome"] == "solved").to_numpy(dtype=bool),
        better.to_numpy(dtype=float),
        points["arm"].to_numpy(),
        draws=draws,
        seed=SEED,
    )


def prediction_words(
    study: Study, points: pd.DataFrame, D: pd.Series, when: str, draws: int
) -> str:
    """One or two sentences for the first screen: over all points, and within each cell."""
    overall = prediction(study, points, D, draws)
    if not known(overall.auc.value):
        same = "solved" if overall.successes else "failed to solve"
        return (
            "Whether transport D goes with success cannot be determined here: every judged network"
            f" {same} the task."
            if overall.auc.n
            else ""
        )
    rests = f"n = {overall.auc.n} points in {overall.arms} arms"
    if overall.predictive is None:
        why = "too few arms, or too few solved or unsolved networks"
        return (
            f"Whether transport {when} (D) goes with success cannot be determined here: {why} (AUC"
            f" {number(overall.auc.value)}, no interval, {rests})."
        )
    sentence = (
        f"Transport at the judged lag {when} (D) separates solved from unsolved with AUC"
        f" {words(overall.auc)} ({rests})"
    )
    if not overall.predictive:
        sentence += ": over all points, D is not predictive."
    elif overall.auc.value > 0.5:
        sentence += ": the more is carried, the more often solved."
    else:
        sentence += ": the more is carried, the less often solved."
    return sentence + _within(study, points, D, draws)


def _within(study: Study, points: pd.DataFrame, D: pd.Series, draws: int) -> str:
    """The prediction within each level of the first factor, which differ in much else."""
    key = study.matrix_factors[0]
    if key not in study.factors or len(study.levels(key)) > MOST:
        return ""
    found = {
        name: prediction(study, points[points[key] == name], D, draws) for name in study.levels(key)
    }
    within = [
        f"{level(key, name)} {words(one.auc)}"
        for name, one in found.items()
        if known(one.auc.value)
    ]
    same = {
        which: [
            level(key, name)
            for name, one in found.items()
            if one.auc.n and not known(one.auc.value) and (one.successes > 0) == (which == "all")
        ]
        for which in ("all", "none")
    }
    rest = "; ".join(f"{listing(names)} solved {which}" for which, names in same.items() if names)
    if not within:
        return f" Within a single {key} it cannot be determined: {rest}." if rest else ""
    return f" Within a single {key}: {', '.join(within)}{f'; {rest}' if rest else ''}."


def words(estimate: Estimate) -> str:
    """For example: .83 [.71, .92]; without an interval, the value alone."""
    if not known(estimate.value):
        return "not defined"
    return number(estimate.value) + (
        f" {interval(estimate.low, estimate.high)}"
        if np.isfinite(estimate.low)
        else " (no interval)"
    )
