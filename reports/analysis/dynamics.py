"""Dynamics of the recurrence: measures per point, and how exponents over seeds are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.data.study import Study
from reports.statistics import Estimate, mean_interval
from study.records import NETWORK, StudyError

# Cells whose outputs end at ±1, by their _target_. Others of whose states a share lies near 1 are
# not saturated: there a linear cell, or a ReLU, is as steep as anywhere.
SQUASHING = tuple(
    f"study.cells.{name}"
    for name in ("rnn.RNN", "lstm.LSTM", "gru.GRU", "gru_reset_after.GRUResetAfter")
)
READINGS = ("chaotic", "forgets", "undecided", "no interval")


@dataclass(frozen=True)
class Reading:
    """`word`: one of READINGS; `exponent`: mean over seeds in nats per step, without the `lost`
    seeds, which had −∞.
    """

    word: str
    exponent: Estimate
    lost: int


def reading(exponents: Sequence[float], lag: float) -> Reading:
    """The reading of the largest Lyapunov exponents of several seeds, for the judged lag K.

    chaotic: the 95 % t interval over seeds lies above 0. forgets: it lies below −ln(100)/K, which
    leaves a hundredth after K steps, or all seeds lose every direction within a step (−∞).
    undecided: neither. One seed has no interval and no word.
    """
    known = [value for value in exponents if not math.isnan(value)]
    lost = sum(value == -math.inf for value in known)
    mean = mean_interval(known)
    if lost:
        word = "no interval" if len(known) < 2 else "forgets" if lost == len(known) else "undecided"
    elif not math.isfinite(mean.low):
        word = "no interval"
    else:
        word = (
            "chaotic"
            if mean.low > 0
            else "forgets"
            if mean.high < -math.log(100) / lag
            else "undecided"
        )
    return Reading(word, mean, lost)


def can_saturate(study: Study) -> set[str]:
    """Ids of the sampled points whose states have ±1 as a limit, by the configuration of the first
    point of each arm; those without one that can be read are taken to have it.
    """
    first = study.sampled.drop_duplicates("arm")
    squash = {row.arm for row in first.itertuples(index=False) if _squashes(study, row.id)}
    return set(study.sampled.loc[study.sampled["arm"].isin(squash), "id"])


def _squashes(study: Study, id: str) -> bool:
    try:
        cell = study.store.config(id).get("cell")
    except StudyError:
        return True
    if not isinstance(cell, Mapping):
        return True
    return cell.get("_target_") in SQUASHING and cell.get("nonlinearity", "tanh") == "tanh"


def ends(measures: pd.DataFrame, quantity: str, across: str) -> pd.DataFrame:
    """A quantity at each point's first and last probe: columns start and end, by point id.

    `across`: how layers and numbers are combined (max, min, median, …). Of quantities with lags,
    the longest lag. A `quantity` that ends in a dot stands for all gates: unit_timescale.
    """
    name = measures["quantity"]
    rows = measures[name.str.startswith(quantity) if quantity.endswith(".") else name == quantity]
    rows = rows[rows["value"].notna()]
    if rows["lag"].notna().any():
        rows = rows[rows["lag"] == rows.groupby("id")["lag"].transform("max")]
    by_stage = (
        rows.groupby(["id", "stage"])["value"]
        .agg(across)
        .reset_index()
        .sort_values(["id", "stage"])
    )
    return by_stage.groupby("id")["value"].agg(start="first", end="last")


def judged_lags(study: Study) -> pd.Series:
    """The judged lag K by point id: that of its states, else from the task's facts."""
    states = study.table("states")
    of_states = (
        states[states["layer"] == NETWORK].groupby("id")["lag"].first()
        if len(states)
        else pd.Series(dtype=float)
    )
    lags = {}
    for point in study.sampled.itertuples(index=False):
        if point.id in of_states:
            lags[point.id] = float(of_states[point.id])
        else:
            facts = study.tasks.get(str(point.task), study.task)
            steps = int(facts.get("steps", 2))
            lags[point.id] = float(
                max(
                    1,
                    (
                        min(int(facts["lag"]), steps - 1)
                        if facts.get("lag")
                        else int(0.9 * (steps - 1))
                    ),
                )
            )
    return pd.Series(lags, dtype=float)


def spectra(measures: pd.DataFrame, by: Sequence[str], grid: int) -> pd.DataFrame:
    """Lyapunov spectra at the first and last probe: columns by…, end (0, 1), share, value, points.

    A point's exponents, of all layers and largest first, are read at `grid` shares of their number.
    The median over points is −∞ if most of them have lost that direction.
    """
    rows = measures[(measures["quantity"] == "lyapunov") & measures["value"].notna()]
    shares = np.linspace(0, 1, grid)
    if rows.empty:
        return pd.DataFrame(columns=[*by, "end", "share", "value", "points"])
    read, found = [], []
    for (id, stage), own in rows.groupby(["id", "stage"], sort=True)["value"]:
        values = np.sort(own.to_numpy(dtype=float))[::-1]
        read.append(values[np.round(shares * (len(values) - 1)).astype(int)])
        found.append((id, stage))
    every = (
        pd.DataFrame(found, columns=["id", "stage"])
        .loc[np.repeat(np.arange(len(found)), grid)]
        .reset_index(drop=True)
    )
    every = every.assign(share=np.tile(shares, len(found)), value=np.concatenate(read)).join(
        rows.drop_duplicates("id").set_index("id")[list(by)], on="id"
    )
    first, last = (every.groupby("id")["stage"].transform(which) for which in ("min", "max"))
    every = pd.concat(
        [
            every[every["stage"] == first].assign(end=0),
            every[(every["stage"] == last) & (last > first)].assign(end=1),
        ]
    )
    return (
        every.groupby([*by, "end", "share"], sort=True)
        .agg(value=("value", "median"), points=("id", "nunique"))
        .reset_index()
    )
