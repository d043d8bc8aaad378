"""Noise of the common test set, from the results of its examples; more seeds do not reduce it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from reports.data.study import Study


def contrast_noise(study: Study, points: pd.DataFrame, factor: str, high: str, low: str) -> float:
    """Standard error over test examples of the difference between two levels' mean scores.

    Both see the same examples, unless the factor makes another problem. NaN if results by example
    were not kept.
    """
    test = study.table("test")
    if test.empty or not study.by_example:
        return math.nan
    test = test[test["id"].isin(points["id"])]
    means = [test[test[factor] == name].groupby("example")["value"].mean() for name in (high, low)]
    if factor in study.problems[0].levels:
        known = [one.to_numpy(dtype=float) for one in means if len(one) > 1]
        if len(known) < 2:
            return math.nan
        return math.sqrt(sum(float(np.var(one, ddof=1)) / len(one) for one in known))
    both = pd.concat(means, axis=1).dropna()
    if len(both) < 2:
        return math.nan
    difference = (both.iloc[:, 0] - both.iloc[:, 1]).to_numpy(dtype=float)
    return float(np.std(difference, ddof=1) / math.sqrt(len(difference)))


def weighted_noise(study: Study, weights: Mapping[int, float]) -> float:
    """Standard error over test examples of Σ w·(mean score of arm).

    Arms of one problem see the same examples; those of another have a test set of its own, whose
    noise is independent. NaN if results by example were not kept, or if there are several tasks.
    """
    means = by_example(study)
    if not set(weights) <= set(means.columns):
        return math.nan
    problem_of = {
        int(arm): number
        for number, problem in enumerate(study.problems)
        for arm in problem.of(study.arms)["arm"]
    }
    variance = 0.0
    for number in {problem_of[arm] for arm in weights}:
        own = {arm: weight for arm, weight in weights.items() if problem_of[arm] == number}
        sums = means[list(own)].dropna().to_numpy(dtype=float) @ np.array(list(own.values()))
        if len(sums) < 2:
            return math.nan
        variance += float(np.var(sums, ddof=1)) / len(sums)
    return math.sqrt(variance)


def by_example(study: Study) -> pd.DataFrame:
    """Mean over seeds of each test example (row) and arm (column).

    Empty if results by example were not kept, or if there are several tasks.
    """
    return study.cached("test set by arm", lambda: _by_example(study))


def _by_example(study: Study) -> pd.DataFrame:
    test = study.table("test")
    if test.empty or len(study.tasks) > 1:
        return pd.DataFrame()
    return test.pivot_table(
        index="example", columns="arm", values="value", aggfunc="mean", observed=True
    )
