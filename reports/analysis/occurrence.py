"""Whether an outcome occurred at all: what did not occur, or could not be seen, decides nothing."""

from __future__ import annotations

import numpy as np

from reports.analysis.comparison import Comparison
from reports.analysis.measures import MEASURES
from reports.data.study import Study
from reports.findings.finding import NO_LESS, OPPOSITE, TOO_SMALL
from study.design.outcomes import ever_solved

# Scores within this share of the way from the memoryless baseline to perfect count as at an end,
# where no difference matters to a claim.
AT_AN_END = 0.02


def nothing_to_decide(
    study: Study, by: str, compared: Comparison, least: float, word: str, direction: str
) -> str:
    """Why this comparison cannot decide anything; "" if it can.

    `least`: smallest difference that matters; `word`: the strength by the interval alone.
    """
    values = np.array([*compared.values(compared.first), *compared.values(compared.second)])
    measure = MEASURES[by]
    n = len(values)
    if by == "time" and (why := _censored(compared)):
        return why
    if by == "score" and word != OPPOSITE and _ended_by_the_rule(compared):
        return (
            "every network ended as soon as it met the task's rule, so that scores are those of"
            " that moment; the time to solve can be compared instead"
        )
    if measure.share and not values.any():
        return f"that is none of the {n} networks of both sides: the outcome did not occur here"
    if measure.share and values.all():
        return f"that is all {n} networks of both sides: nothing tells the sides apart here"
    if n and np.ptp(values) == 0:
        return f"{measure.text} is the same in all {n} networks here"
    similar = word == TOO_SMALL or (direction == NO_LESS and word != OPPOSITE)
    return _at_an_end(study, compared, least) if measure.in_metric and similar else ""


def _ended_by_the_rule(compared: Comparison) -> bool:
    """Whether all points of both sides were ended when they met the rule (stop.solved_checks)."""
    ended = compared.points.get("ended_early")
    return ended is not None and len(ended) > 0 and bool((ended == "solved").all())


def _censored(compared: Comparison) -> str:
    """A side on which nobody solved has no time to solve, whatever the other side has."""
    sides = [
        int(ever_solved(compared.of(side)).sum()) for side in (compared.first, compared.second)
    ]
    if not any(sides):
        return "no network on either side met the task's rule within its training"
    if not all(sides):
        return (
            "no network on one side met the task's rule within its training, so its time is not"
            " known; shares of solved networks can be compared instead"
        )
    return ""


def _at_an_end(study: Study, compared: Comparison, least: float) -> str:
    """Both sides no better than the baseline, or both too close to perfect to differ."""
    perfect = 1.0 if study.higher_is_better else 0.0
    ways, spans = [], []
    for side in (compared.first, compared.second):
        points = compared.of(side)
        baseline = points["baseline"].to_numpy(dtype=float)
        baseline = np.zeros(len(points)) if study.as_skill else baseline
        way = perfect - baseline
        if not (np.abs(way) > 0).all() or (way > 0).all() != study.higher_is_better:
            return ""  # a metric without a known best value
        ways.append(float(((points["counted"].to_numpy(dtype=float) - baseline) / way).mean()))
        spans.append(float(np.abs(way).mean()))
    matters = max(least / min(spans), AT_AN_END)
    if max(ways) < matters:
        return "neither side got better than the memoryless baseline by what matters"
    if min(ways) > 1 - matters:
        return "both sides are so close to a perfect score that no difference that matters is left"
    return ""
