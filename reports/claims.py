"""Claims of a study: a statement with the contrast that would show it, judged by what is stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reports.arms import with_counted
from reports.data import Study
from reports.statistics import Estimate, mean_difference, share_difference

LOST = ("diverged", "silently diverged")


@dataclass(frozen=True)
class Measure:
    """What a claim compares: a number a point, and whether more of it is better. A share is of points for which it is 1."""

    text: str
    of: Callable[[Study, pd.DataFrame], pd.Series]
    more_is_better: bool | None  # None: as the task's metric has it
    share: bool


def _is(column: str, *values: str) -> Callable[[Study, pd.DataFrame], pd.Series]:
    return lambda study, points: points[column].isin(values).astype(float)


MEASURES: Mapping[str, Measure] = {
    "score": Measure("test score", lambda study, points: points["counted"].astype(float), None, False),
    "solved": Measure("solved", _is("outcome", "solved"), True, True),
    "lost": Measure("lost (diverged or silently diverged)", _is("outcome", *LOST), False, True),
    "opens": Measure("opened", _is("verdict", "opens"), True, True),
    "carries": Measure("carrying at the end", _is("state", "carrying"), True, True),
    "D_init": Measure("D at initialization", lambda study, points: points["D_init"].astype(float), True, False),
    "D": Measure("D at the end", lambda study, points: points["D"].astype(float), True, False),
}


@dataclass(frozen=True)
class Judged:
    """A claim with what was found: `verdict` is supported, refuted or inconclusive; `difference` is better minus worse, positive for the claim."""

    statement: str
    measure: Measure
    better: Mapping[str, str]
    worse: Mapping[str, str]
    values: tuple[Sequence[float], Sequence[float]]
    difference: Estimate
    least: float
    verdict: str


def judge(study: Study, claim: Mapping[str, Any]) -> Judged:
    """Better against worse where the rest is as `when` says. supported: the interval of the difference lies above 0, the difference at
    `least` or more; refuted: it lies below `least` whole; else inconclusive.

    Differences of means have a Welch t interval over seeds, differences of shares Newcombe's (1998, method 10).
    """
    measure = MEASURES[str(claim["by"])]
    points = with_counted(study)
    sides = [_matching(points, study, {**claim.get("when", {}), **claim[side]}) for side in ("better", "worse")]
    first, second = (measure.of(study, own).dropna().to_numpy(dtype=float) for own in sides)
    sign = 1.0 if (study.higher_is_better if measure.more_is_better is None else measure.more_is_better) else -1.0
    of = share_difference if measure.share else mean_difference
    found = of(first, second)
    difference = found if sign > 0 else Estimate(-found.value, -found.high, -found.low, found.n)
    least = float(claim["least"])
    texts = [{str(key): _text(value) for key, value in claim[side].items()} for side in ("better", "worse")]
    return Judged(str(claim["statement"]), measure, texts[0], texts[1], (first, second), difference, least, _verdict(difference, least))


def _text(level: Any) -> str:
    return " or ".join(map(str, level)) if isinstance(level, list) else str(level)


def _verdict(difference: Estimate, least: float) -> str:
    if not math.isfinite(difference.low):
        return "inconclusive"
    if difference.low > 0 and difference.value >= least:
        return "supported"
    return "refuted" if difference.high < least else "inconclusive"


def _matching(points: pd.DataFrame, study: Study, when: Mapping[str, Any]) -> pd.DataFrame:
    keep = np.ones(len(points), dtype=bool)
    for key, level in when.items():
        wanted = {str(one) for one in (level if isinstance(level, list) else [level])}
        keep &= points[key].astype(str).isin(wanted).to_numpy() if key in points else np.full(len(points), study.constant.get(key) in wanted)
    return points[keep]
