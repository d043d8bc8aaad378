"""Gradient spikes: at which update, and how large against the norms before."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from reports.data.study import Study
from study.health.verdicts import spike_update


def spikes(study: Study, ids: Iterable[str]) -> dict[str, str]:
    """The first spike of each of these points that had one, in words.

    By the rule of silent divergence (health.spike), over the updates that were stored.
    """
    limit = study.health.get("spike")
    history = study.table("history")
    if limit is None or history.empty:
        return {}
    history = history[history["id"].isin(list(ids)) & history["grad_norm"].notna()]
    return {
        str(id): words
        for id, own in history.groupby("id", observed=True)
        if (words := spike(own.sort_values("update"), float(limit)))
    }


def spike(history: pd.DataFrame, limit: float) -> str:
    """For example: update 41: 380 times the norms before (92 after 0.24); "" without a spike.

    `history`: one point, columns update and grad_norm. Norms before: their geometric mean.
    """
    norms = history["grad_norm"].to_numpy(dtype=float)
    at = spike_update(norms, limit)
    if at is None:
        return ""
    before = norms[:at][np.isfinite(norms[:at]) & (norms[:at] > 0)]
    usual = math.exp(float(np.log(before).mean()))
    return (
        f"update {int(history['update'].iloc[at]):,}: {_size(norms[at] / usual)} times the norms"
        f" before ({_size(norms[at])} after {_size(usual)})"
    )


def _size(value: float) -> str:
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.3g}"
