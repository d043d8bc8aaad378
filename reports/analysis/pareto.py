"""Which arms no other arm beats in everything: means over seeds, and how often resampled seeds say
the same.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.data.study import Study

AIMS = ("score", "health", "cost")


def aims(study: Study, points: pd.DataFrame) -> pd.DataFrame:
    """Points with score (as counted), health (min(0, D) − max(0, U), decades; 0 carries) and cost
    (seconds), where all three are known.

    Turned so that more of each is better.
    """
    frame = pd.DataFrame(
        {
            "arm": points["arm"],
            "score": points["counted"].astype(float) * (1 if study.higher_is_better else -1),
            "health": health(points),
            "cost": -points["seconds"].astype(float),
        }
    )
    return frame[np.isfinite(frame[list(AIMS)]).all(axis=1)]


def health(points: pd.DataFrame) -> pd.Series:
    """min(0, D) − max(0, U) of every point, decades: 0 carries credit as it should."""
    found: pd.Series = np.minimum(0, points["D"].astype(float)) - np.maximum(
        0, points["U"].astype(float)
    )
    return found


def front(values: np.ndarray) -> np.ndarray:
    """Which rows [..., arms] of `values` [..., arms, aims], more being better, no other row beats:
    at least as good in all, better in one.
    """
    at_least = np.all(values[..., :, None, :] >= values[..., None, :, :], axis=-1)
    better = np.any(values[..., :, None, :] > values[..., None, :, :], axis=-1)
    beaten: np.ndarray = np.any(at_least & better, axis=-2)
    return ~beaten


def fronts(frame: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """By arm: mean of each aim, n, on_front by the means, and `share` of draws (seeds resampled
    within arms) that put it there.

    No share (NaN) where an arm has one seed: drawing it again says nothing.
    """
    means = frame.groupby("arm")[list(AIMS)].mean()
    sizes = frame.groupby("arm").size()
    rng = np.random.default_rng(seed)
    of_arm = [frame.loc[frame["arm"] == arm, list(AIMS)].to_numpy() for arm in means.index]
    hits = np.zeros(len(means))
    for _ in range(draws):
        drawn = np.stack([own[rng.integers(0, len(own), len(own))].mean(0) for own in of_arm])
        hits += front(drawn)
    return means.assign(
        n=sizes, on_front=front(means.to_numpy()), share=hits / draws if sizes.min() > 1 else np.nan
    )
