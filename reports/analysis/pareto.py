"""Arms that no other arm beats in every aim: by means, and in resampled seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.analysis.costs import with_cost
from reports.data.study import Study
from reports.data.test_set import by_example

AIMS = ("score", "health", "cost")
CLOCK = 0.05  # share of the seconds that a clock on a shared machine may be off
SURE = 0.9  # share of draws
LEAST_DRAWS, PAIRS = 300, 20_000_000


def aims(study: Study, points: pd.DataFrame) -> pd.DataFrame:
    """Points with score, gradient health and cost, signed so that more is better.

    Incomplete points are dropped.
    """
    points = with_cost(study, points)
    frame = pd.DataFrame(
        {
            "arm": points["arm"],
            "score": points["counted"].astype(float) * (1 if study.higher_is_better else -1),
            "health": health(points),
            "cost": -points["cost"],
        }
    )
    return frame[np.isfinite(frame[list(AIMS)]).all(axis=1)]


def health(points: pd.DataFrame) -> pd.Series:
    """Gradient health, min(0, D) − max(0, U) at the end of every point, in decades; 0 carries."""
    found: pd.Series = np.minimum(0, points["D"].astype(float)) - np.maximum(
        0, points["U"].astype(float)
    )
    return found


def front(values: np.ndarray, noise: np.ndarray | float = 0.0) -> np.ndarray:
    """Which arms of `values` [..., arms, aims] no other beats: at least as good in all, better in
    one. Differences within `noise` [arms, arms, aims] count as none.
    """
    ahead = values[..., :, None, :] - values[..., None, :, :]
    beats = np.all(ahead >= -noise, axis=-1) & np.any(ahead > noise, axis=-1)
    beaten: np.ndarray = np.any(beats, axis=-2)
    return ~beaten


def clock_noise(frame: pd.DataFrame) -> np.ndarray:
    """Differences of mean cost [arms, arms] that the clock's noise may have made.

    At least CLOCK of the dearer arm, and the 95 % interval of the difference over seeds.
    """
    by_arm = frame.groupby("arm")["cost"]
    mean, se = by_arm.mean().abs().to_numpy(), by_arm.sem(ddof=1).fillna(0.0).to_numpy()
    return np.maximum(CLOCK * np.maximum(mean[:, None], mean), 1.96 * np.hypot(se[:, None], se))


def affordable(draws: int, arms: int) -> int:
    """As many draws as take a second or so, at most `draws`: each compares all pairs of arms."""
    return min(draws, max(LEAST_DRAWS, PAIRS // max(1, arms**2)))


def fronts(study: Study, frame: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """By arm: mean of each aim, n, on_front, whether no arm is cheaper beyond the clock's noise
    (`cheapest`), and the share of draws in which it is on the front.

    In each draw, seeds are resampled within arms (deviations stretched by √(n/(n−1)), as few seeds
    vary too little) and the examples of the common test set are resampled too. Cost is the mean,
    compared beyond the clock's noise. No share (NaN) if an arm has one seed.
    """
    means = frame.groupby("arm")[list(AIMS)].mean()
    sizes = frame.groupby("arm").size()
    noise = np.zeros((len(means), len(means), len(AIMS)))
    noise[..., AIMS.index("cost")] = clock_noise(frame)
    rng = np.random.default_rng(seed)
    shifts = _test_set_shifts(study, means.index, draws, rng)
    centre = means.to_numpy()
    stretch = np.sqrt(sizes / (sizes - 1).clip(lower=1)).to_numpy()[:, None]
    of_arm = [frame.loc[frame["arm"] == arm, list(AIMS)].to_numpy() for arm in means.index]
    ends = np.cumsum([len(own) for own in of_arm])[:-1]
    seeds = np.split(rng.integers(0, np.repeat(sizes, sizes), (draws, sizes.sum())), ends, axis=1)
    resampled = np.stack([own[at].mean(1) for own, at in zip(of_arm, seeds, strict=True)], axis=1)
    hits = np.zeros(len(means))
    for shift, drawn in zip(shifts, resampled, strict=True):
        drawn = centre + (drawn - centre) * stretch
        drawn[:, AIMS.index("score")] += shift
        drawn[:, AIMS.index("cost")] = centre[:, AIMS.index("cost")]
        hits += front(drawn, noise)
    cost, noise_of = centre[:, AIMS.index("cost")], noise[..., AIMS.index("cost")]
    cheapest = np.all(cost[:, None] >= cost - noise_of, axis=1)
    return means.assign(
        n=sizes,
        cheapest=cheapest,
        on_front=front(centre, noise),
        share=hits / draws if sizes.min() > 1 else np.nan,
    )


def _test_set_shifts(
    study: Study, arms: pd.Index, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """By how much other test examples would move the arms' scores [draws, arms], better is more.

    All arms see the same examples. 0 if results by example were not kept.
    """
    results = by_example(study)
    if not set(arms) <= set(results.columns):
        return np.zeros((draws, len(arms)))
    values = results[list(arms)].dropna().to_numpy(dtype=float)
    if len(values) < 2:
        return np.zeros((draws, len(arms)))
    drawn = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), draws)
    sign = 1 if study.higher_is_better else -1
    shifts: np.ndarray = sign * (drawn @ values / len(values) - values.mean(0))
    return shifts
