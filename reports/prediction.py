"""Does health predict success here? D of the network at a share of the run, set against the outcome and the score."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.data import Study
from reports.statistics import Estimate, Prediction, predict
from reports.words import interval, known, level, listing, number
from study.records import NETWORK

SEED = 2026  # of the bootstrap: the same store gives the same interval


def at_share(study: Study, share: float) -> pd.Series:
    """D of the network by point id at the probe nearest to a share of the updates; at the end the D that decides the verdict."""
    if share >= 1:
        return study.stored.set_index("id")["D"].astype(float)
    states = study.table("states")
    states = states[states["layer"] == NETWORK].merge(study.stored[["id", "updates"]], on="id")
    if states.empty:
        return pd.Series(dtype=float)
    away = (states["update"].astype(float) - share * states["updates"].astype(float)).abs()
    nearest = states.assign(away=away).sort_values(["id", "away"]).groupby("id").head(1)
    return nearest.set_index("id")["D"].astype(float)


def prediction(study: Study, points: pd.DataFrame, D: pd.Series, draws: int) -> Prediction:
    """Over these points. Scores count by their rank within their task, best last: those of two tasks have no common scale."""
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


def prediction_word(study: Study, points: pd.DataFrame, D: pd.Series, when: str, draws: int) -> str:
    """One sentence for the first screen: overall, and whether it holds within every cell."""
    overall = prediction(study, points, D, draws)
    if not known(overall.auc.value):
        same = "solved" if overall.successes else "failed to solve"
        return f"Whether health predicts success cannot be told here: every judged point {same} the task." if overall.auc.n else ""
    said = f"D {when} tells solved from unsolved with AUC {words(overall.auc)} (n = {overall.auc.n} points in {overall.arms} arms)"
    key = study.sides[0]
    within = {name: prediction(study, points[points[key] == name], D, draws) for name in study.levels(key)} if key in study.factors else {}
    if overall.predictive is None:
        return f"{said}: too few arms, or too few solved or unsolved points, for an interval, so it cannot be told."
    if not overall.predictive:
        return f"{said}: health is not predictive in this study."
    if overall.auc.value < 0.5:
        return f"{said}: the healthier, the less often solved."
    told = {name: one for name, one in within.items() if known(one.auc.value)}
    holds = [level(key, name) for name, one in told.items() if one.predictive is True and one.auc.value > 0.5]
    if not within:
        return f"{said}: health predicts success."
    if not told:
        return f"{said}: health predicts success over all points; within a {key} it cannot be told, as each solved all or none."
    if len(told) == 1:
        only = level(key, next(iter(told)))
        return (
            f"{said}: health predicts success over all points; within {only}, the only {key} with both outcomes, it is {'shown too' if holds else 'not shown'}."
        )
    return (
        f"{said}: health predicts success over all points; within a single {key} it is shown for {listing(holds) if holds else 'none'} "
        f"of {listing(level(key, name) for name in told)}."
    )


def words(of: Estimate) -> str:
    """.83 [.71, .92], or the value alone."""
    if not known(of.value):
        return "not defined"
    return number(of.value) + (f" {interval(of.low, of.high)}" if np.isfinite(of.low) else " (no interval)")
