"""Arms that no other arm beats in every aim: by means, and in resampled seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.data.study import Study

AIMS = ("score", "health", "cost")


def aims(study: Study, points: pd.DataFrame) -> pd.DataFrame:
    """Points with score, health and cost, signed so that more is better; incomplete points are
    dropped.
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
    """min(0, D) − max(0, U) of every point, in decades; 0 carries credit."""
    found: pd.Series = np.minimum(0, points["D"].astype(float)) - np.maximum(
        0, points["U"].astype(float)
    )
    return found


def front(values: np.ndarray) -> np.ndarray:
    """Which arms of `values` [..., arms, aims] no other beats: at least as good in all, better in
    one.
    """
    at_least = np.all(values[..., :, None, :] >= values[..., None, :, :], axis=-1)
    better = np.any(values[..., :, None, :] > values[..., None, :, :], axis=-1)
    beaten: np.ndarray = np.any(at_least & better, axis=-2)
    return ~beaten


def fronts(frame: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """By arm: mean of each aim, n, on_front, and the share of draws in which it is on the front.

    Seeds are resampled within arms. No share (NaN) if an arm has one seed.
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
