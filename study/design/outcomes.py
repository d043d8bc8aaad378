"""One definition each of what became of a point: lost, solved at some time, solved at the end.

For reports and for confirmation runs; imports pandas only.
"""

from __future__ import annotations

import pandas as pd

LOST = ("diverged", "silently diverged")


def lost(points: pd.DataFrame) -> pd.Series:
    """Whether each point diverged, or diverged silently: whatever it had learned is gone."""
    return points["status"].eq("diverged") | points["outcome"].isin(LOST)


def ever_solved(points: pd.DataFrame) -> pd.Series:
    """Whether some validation of each point met the task's rule."""
    return points["solved_at"].notna() | solved_at_end(points)


def share_until_solved(points: pd.DataFrame, updates: pd.Series) -> pd.Series:
    """The share of its planned `updates` after which each point first met the task's rule; 1 for
    those that never did, lost or ended early: of every run the whole is counted.
    """
    return (points["solved_at"].astype(float) / updates).fillna(1.0)


def solved_at_end(points: pd.DataFrame) -> pd.Series:
    """Whether the last validation of each point met the task's rule, and the point is not lost.

    Points stored before `ends_solved` was (null) count by their outcome.
    """
    known = points["ends_solved"].notna()
    met = points["outcome"].eq("solved").where(~known, points["ends_solved"].eq(True))
    return met & ~lost(points)
