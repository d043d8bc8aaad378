"""A study as a small matrix: what became of the networks at each pair of levels of two factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from reports.analysis.arms import with_counted
from reports.analysis.tallies import Tally, tally
from reports.data.study import UNKNOWN, Study
from reports.formatting import isolated, known, score_number, short_name

MOST = 8  # levels of a factor up to which it has a row or a column of its own


@dataclass(frozen=True)
class Square:
    """What became of the networks of two levels.

    `text`: solved of how many, or their mean score where no rule says what solved is; `lost`
    networks; `share`: between 0 and 1, how strongly the square is filled, or None if it is empty.
    """

    text: str
    lost: int
    share: float | None


@dataclass(frozen=True)
class SmallMatrix:
    """`says`: what a square has; `names`: of the factors in rows and columns."""

    says: str
    names: tuple[str, str]
    rows: Sequence[str]
    columns: Sequence[str]
    squares: Sequence[Sequence[Square]]


def small_matrix(study: Study) -> SmallMatrix | None:
    """The two first factors (never the task), pooled over all others; a factor of more than MOST
    levels is pooled over too. None where nothing can be counted or nothing varies.
    """
    points = with_counted(study)
    ruled = points[study.has_rule(points)] if len(points) else points
    one_scale = len(study.problems) == 1 and study.recorded("score")
    if ruled.empty and (points.empty or not one_scale):
        return None
    row_key, column_key = study.panel_factors
    rows, columns = (_levels(study, key) for key in (row_key, column_key))
    if len(rows) * len(columns) < 2:
        return None
    squares = [
        [
            _at(points if ruled.empty else ruled, {row_key: row, column_key: column})
            for column in columns
        ]
        for row in rows
    ]
    made = (
        [[_scored(own) for own in line] for line in squares]
        if ruled.empty
        else [[_solved(own) for own in line] for line in squares]
    )
    says = f"mean test {study.metric}" if ruled.empty else "solved of how many networks"
    return SmallMatrix(
        says,
        (short_name(row_key), short_name(column_key)),
        [isolated(row) for row in rows],
        [isolated(column) for column in columns],
        _filled(study, made) if ruled.empty else made,
    )


def _levels(study: Study, key: str) -> list[str]:
    """Levels that have a row or column of their own; [UNKNOWN] stands for all of them."""
    levels = study.factors.get(key, [])
    return levels if 1 < len(levels) <= MOST else [UNKNOWN]


def _at(points: pd.DataFrame, where: dict[str, str]) -> pd.DataFrame:
    for key, level in where.items():
        points = points if level == UNKNOWN else points[points[key] == level]
    return points


def _solved(own: pd.DataFrame) -> Square:
    of: Tally = tally(own)
    return Square(f"{of.solved}/{of.n}", of.lost, of.solved / of.n) if of.n else Square("", 0, None)


def _scored(own: pd.DataFrame) -> Square:
    """The mean over arms, which weigh equally; `share` is the mean itself."""
    mean = own.groupby("arm")["counted"].mean().mean()
    lost = int(own["lost"].sum())
    return Square(score_number(mean), lost, float(mean)) if known(mean) else Square("", lost, None)


def _filled(study: Study, squares: Sequence[Sequence[Square]]) -> list[list[Square]]:
    """Squares of scores, filled from the worst to the best."""
    means = [one.share for line in squares for one in line if one.share is not None]
    worst, best = (min(means), max(means)) if study.higher_is_better else (max(means), min(means))
    return [
        [
            Square(one.text, one.lost, (one.share - worst) / (best - worst) if best != worst else 0)
            if one.share is not None
            else one
            for one in line
        ]
        for line in squares
    ]
