"""Measures that claims and contrasts compare: one number per point.

Diverged and unsolved points count, as each measure defines; none is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from reports.analysis.arms import with_counted
from reports.data.study import Study, perfect
from reports.statistics.survival import planned_updates, times
from study.design.outcomes import lost, solved_at_end
from study.design.ranking import counted


@dataclass(frozen=True)
class Measure:
    """A number per point, and whether more is better (None: as in the task's metric).

    `share`: 0 or 1 per point; `in_metric`: in units of the score.
    """

    text: str
    compute: Callable[[Study, pd.DataFrame], pd.Series]
    more_is_better: bool | None
    share: bool = False
    in_metric: bool = False


def _is(column: str, *values: str) -> Callable[[Study, pd.DataFrame], pd.Series]:
    return lambda study, points: _if_recorded(
        study, column, points[column].isin(values).astype(float)
    )


def _gap(study: Study, points: pd.DataFrame) -> pd.Series:
    """Training score minus test score, in the better direction; a lost point has neither."""
    sign = 1.0 if study.higher_is_better else -1.0
    return (
        sign
        * (
            counted(points, "train_score", higher_is_better=study.higher_is_better)
            - points["counted"]
        )
    ).astype(float)


def _if_recorded(study: Study, column: str, values: pd.Series) -> pd.Series:
    """Values; NaN, not zero, where no point has what they count."""
    return values if study.recorded(column) else values * math.nan


def _ruled(study: Study, points: pd.DataFrame, values: pd.Series) -> pd.Series:
    """Values of points whose task has a rule for solved; NaN, not unsolved, where it has none."""
    return values.where(study.has_rule(points).to_numpy())


MEASURES: Mapping[str, Measure] = {
    "score": Measure(
        "test score", lambda study, points: points["counted"].astype(float), None, in_metric=True
    ),
    "train": Measure(
        "training score",
        lambda study, points: counted(
            points, "train_score", higher_is_better=study.higher_is_better
        ),
        None,
        in_metric=True,
    ),
    "gap": Measure("training score beyond test score", _gap, False, in_metric=True),
    "solved": Measure(
        "solved at the end",
        lambda study, points: _ruled(study, points, solved_at_end(points).astype(float)),
        True,
        True,
    ),
    "time": Measure(
        "time until the rule is first met, as a share of the run",
        lambda study, points: _ruled(
            study, points, times(points)["time"] / planned_updates(points)
        ),
        False,
    ),
    "lost": Measure(
        "lost (diverged or silently diverged)",
        lambda study, points: _if_recorded(study, "diverged", lost(points).astype(float)),
        False,
        True,
    ),
    "opens": Measure("opened", _is("verdict", "opens"), True, True),
    "carries": Measure("carrying at the end", _is("state", "carrying"), True, True),
    "D_init": Measure(
        "remaining gradient at initialization",
        lambda study, points: points["D_init"].astype(float),
        True,
    ),
    "D": Measure(
        "remaining gradient at the end", lambda study, points: points["D"].astype(float), True
    ),
}


def measured(study: Study, by: str) -> pd.DataFrame:
    """Stored points that have the measure, with column `value`."""
    points = with_counted(study)
    values = points.assign(value=MEASURES[by].compute(study, points).astype(float))
    return values[values["value"].notna()]


def sign(study: Study, by: str) -> float:
    """1 if more is better, −1 if less is."""
    more = MEASURES[by].more_is_better
    return 1.0 if (study.higher_is_better if more is None else more) else -1.0


def perfect_distance(study: Study) -> float:
    """Distance from the memoryless baseline to a perfect score, in the task's metric; NaN if the
    baseline was not recorded.
    """
    task = study.task
    if study.as_skill or not task:
        return 1.0
    return abs(perfect(task) - float(task.get("baseline", math.nan)))
