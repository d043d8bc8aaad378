"""Differences between any two arms, with intervals: what the page shows of two that are pinned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from reports.analysis.arms import with_counted
from reports.data.study import Study
from reports.data.test_set import by_example, weighted_noise
from reports.statistics.levels import values_by_arm

MOST = 400  # arms: of more, the halves of all pairs would be megabytes
LEVEL = 0.95


def pairs(study: Study) -> dict[str, Any]:
    """Of each arm: `mean` score, `n`, number of its `problem`, `lost` points, and `D` at the end.

    `half`: of each pair of arms (0, 1), (0, 2), … (1, 2), …, half the interval of the difference
    of means as `statistics.weighted_arms` and `statistics.widen` give it; None if there is none.
    `span`: the largest difference that is possible, or None. {} with more than MOST arms.
    """
    arms = [int(arm) for arm in study.arms["arm"]]
    if not 1 < len(arms) <= MOST:
        return {}
    points = with_counted(study)
    values = values_by_arm(points, "counted")
    own = [values.get(arm, np.array([])) for arm in arms]
    at_end = values_by_arm(points, "D") if "D" in points else {}
    problem = {
        int(arm): number
        for number, one in enumerate(study.problems)
        for arm in one.of(study.arms)["arm"]
    }
    low, high = study.score_range
    lost = points.groupby("arm")["lost"].sum()
    return {
        "mean": [_short(float(one.mean()), 9) if len(one) else None for one in own],
        "n": [len(one) for one in own],
        "lost": [int(lost.get(arm, 0)) for arm in arms],
        "D": [_short(float(at_end[arm].mean()), 4) if arm in at_end else None for arm in arms],
        "problem": [problem.get(arm, 0) for arm in arms],
        "half": [_short(half, 6) for half in _halves(study, arms, own)],
        "span": high - low if math.isfinite(high - low) else None,
        "metric": study.metric,
        "higher": study.higher_is_better,
    }


def _halves(study: Study, arms: list[int], own: list[np.ndarray]) -> list[float]:
    """Half the interval of each pair, seeds and test set in quadrature; NaN if there is none."""
    n = np.array([len(one) for one in own], dtype=float)
    variance = np.array([one.var(ddof=1) / len(one) if len(one) > 1 else np.nan for one in own])
    first, second = np.triu_indices(len(arms), 1)
    both = variance[first] + variance[second]
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = variance[first] ** 2 / (n[first] - 1) + variance[second] ** 2 / (n[second] - 1)
        freedom = both**2 / spread  # Satterthwaite's
        seeds = special.stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(both)
    seeds = np.where(both == 0, 0.0, seeds)
    noise = _noises(study, arms, first, second) * float(special.ndtri((1 + LEVEL) / 2))
    return list(np.where(np.isfinite(noise), np.hypot(seeds, noise), seeds))


def _noises(study: Study, arms: list[int], first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """As `weighted_noise` of each pair, over arms that see the same examples."""
    found = np.full(len(first), np.nan)
    means = by_example(study)
    if means.empty:
        return found
    there = [arm in means and bool(means[arm].notna().all()) for arm in arms]
    whole = means[[arm for arm, one in zip(arms, there, strict=True) if one]]
    place = np.cumsum(there) - 1
    covariance = np.cov(whole.to_numpy(dtype=float), rowvar=False, ddof=1).reshape(
        whole.shape[1], whole.shape[1]
    )
    for k, (a, b) in enumerate(zip(first, second, strict=True)):
        if there[a] and there[b]:
            i, j = place[a], place[b]
            between = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
            found[k] = math.sqrt(max(between, 0.0) / len(whole))
        else:
            found[k] = weighted_noise(study, {arms[a]: 1.0, arms[b]: -1.0})
    return found


def _short(value: float, digits: int) -> float | None:
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
