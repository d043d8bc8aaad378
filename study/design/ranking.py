"""Ranks arms without their test scores, so that test examples do not influence the choice.

Imports pandas only, for reports and for confirmation runs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from study.design.outcomes import lost, solved_at_end

DIVERGED = "diverged"
UNLEARNED = ("stuck", "diverged", "silently diverged")  # outcomes: no better than the baseline
# Columns of points that a ranking reads, beside `arm`.
RANKED_BY = (
    "status",
    "outcome",
    "solved_at",
    "ends_solved",
    "ended_early",
    "val_score",
    "baseline",
)
# An arm is clearly behind if its best seed lies below another arm's mean by over this share of the
# way from the memoryless baseline to that mean.
CLEARLY = 0.1


def counted(points: pd.DataFrame, column: str, *, higher_is_better: bool) -> pd.Series:
    """Scores of points; a lost point gets the memoryless baseline if its own score is better.

    Lost points diverged, with or without a NaN. NaN: missing.
    """
    score, baseline = points[column].to_numpy(dtype=float), points["baseline"].to_numpy(dtype=float)
    worst = np.fmin(score, baseline) if higher_is_better else np.fmax(score, baseline)
    return pd.Series(np.where(lost(points), worst, score), index=points.index)


def ranking(points: pd.DataFrame, *, higher_is_better: bool) -> pd.DataFrame:
    """Arms (index `arm`) in order, best first, with what puts them there; ties in numerical order.

    Columns: `lost` and `solved`, shares of the arm's points that are lost and that end solved;
    `validation`, their mean best validation score with lost points at the baseline; `behind`,
    whether another arm is clearly ahead; `learned`, whether the mean is better than the baseline
    and not all points are stuck or lost (the best of many validations exceeds chance by chance).
    Order: arms that learned and that no other is clearly ahead of, by fewest lost, most solved at
    the end, validation, and then by `sooner`, the mean update at which the rule was first met if
    all of an arm's points met it; then the others by validation. Arms without a validation score
    are left out. Arms whose points all ended when they met the rule are ranked by `sooner` before
    validation.
    """
    sign = 1.0 if higher_is_better else -1.0
    made = pd.DataFrame(
        {
            "arm": points["arm"],
            "lost": lost(points).astype(float),
            "solved": solved_at_end(points).astype(float),
            "value": sign * counted(points, "val_score", higher_is_better=higher_is_better),
            "baseline": sign * points["baseline"].astype(float),
            "sooner": points["solved_at"].astype(float),
            "ended": (points["ended_early"] == "solved").astype(float),
            "off": ~points["outcome"].isin(UNLEARNED),
        }
    )
    made = made[made["value"].notna()]
    by_arm = made.groupby("arm").agg(
        lost=("lost", "mean"),
        solved=("solved", "mean"),
        validation=("value", "mean"),
        best=("value", "max"),
        baseline=("baseline", "mean"),
        sooner=("sooner", lambda updates: updates.mean(skipna=False)),
        ended=("ended", "mean"),
        off=("off", "any"),
    )
    if by_arm.empty:
        return by_arm.assign(behind=False, learned=False)
    top = by_arm.loc[by_arm["validation"].idxmax()]
    way = float(top["validation"] - top["baseline"])
    way = way if way > 0 else 0.0  # NaN without a baseline
    by_arm["behind"] = by_arm["best"] < top["validation"] - CLEARLY * way
    better = (by_arm["validation"] > by_arm["baseline"]) | by_arm["baseline"].isna()
    by_arm["learned"] = better & by_arm["off"]
    # Scores of networks that ended when they met the rule are those of that moment.
    ended = by_arm["ended"] == 1
    keys = pd.DataFrame(
        {
            "unlearned": ~by_arm["learned"],
            "behind": by_arm["behind"],
            "lost": by_arm["lost"].where(~by_arm["behind"], 0.0),
            "solved": -by_arm["solved"].where(~by_arm["behind"], 0.0),
            "first": by_arm["sooner"].where(ended, np.inf).fillna(np.inf),
            "validation": -by_arm["validation"],
            "sooner": by_arm["sooner"].fillna(np.inf),
        }
    ).reset_index()
    order = keys.sort_values(
        ["unlearned", "behind", "lost", "solved", "first", "validation", "sooner", "arm"]
    )["arm"]
    by_arm["validation"] *= sign
    return by_arm.loc[
        order, ["lost", "solved", "validation", "sooner", "ended", "behind", "learned"]
    ]


def best_first(points: pd.DataFrame, *, higher_is_better: bool) -> list[int]:
    """Arm numbers (column `arm`) in the order of `ranking`."""
    return [int(arm) for arm in ranking(points, higher_is_better=higher_is_better).index]
