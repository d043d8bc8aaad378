"""Loss profile against transport: whether the loss gradient falls faster than a random one."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from reports.data.study import Study
from study.records import NETWORK

# Profiles that stand for the whole network; the first that a point has is used.
WHOLE = {f"{NETWORK}/s": 0, "1/s": 1, "1/h": 2}


def loss_minus_transport(study: Study) -> pd.DataFrame:
    """D of the loss profile minus D of transport in decades, by point id: columns start and end.

    At the first and last probe that has both, over the same lags, relative to lag 1. Below 0, the
    loss gradient falls off faster than a random direction.
    """
    profile, states = study.table("profile"), study.table("states")
    rows = profile[profile["probe"] == "loss"]
    states = states[states["layer"] == NETWORK]
    if rows.empty or states.empty:
        return pd.DataFrame(columns=["start", "end"], dtype=float)
    rank = (rows["layer"].astype(str) + "/" + rows["state"].astype(str)).map(WHOLE)
    rows = rows[rank.notna() & (rank == rank.groupby(rows["id"]).transform("min"))]
    keys = ["id", "update"]
    rows = rows.merge(states[[*keys, "lag", "D"]].rename(columns={"lag": "judged"}), on=keys)
    first = (0.9 * rows["judged"].astype(float)).map(math.ceil).clip(lower=1)
    far = rows[(rows["lag"] >= first) & (rows["lag"] <= rows["judged"])]
    whole = far.groupby(keys)["log10_mean"].agg(
        lambda values: np.median(values.to_numpy(dtype=float))
    )
    at_one = rows[rows["lag"] == 1].set_index(keys)[["log10_mean", "D"]].astype(float)
    apart = (
        (whole - at_one["log10_mean"] - at_one["D"])
        .dropna()
        .reset_index(name="apart")
        .sort_values(keys)
    )
    return apart.groupby("id")["apart"].agg(start="first", end="last")
