"""Counts of points by what became of them: every sentence and table takes them from here."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.data.study import Study
from study.design.outcomes import ever_solved, lost, solved_at_end

LOSES_CREDIT = ("vanishing", "fading")  # states in which little arrives from the judged lag


@dataclass(frozen=True)
class Tally:
    """Numbers of points, of `n`.

    `diverged` and `silent` are together `lost`; `ever` met the task's rule at some validation,
    `solved` at the last one, and `not_kept` at some but not at the last. Of `judged`, which have a
    state at the end: `carrying`, `without_carrying` (every other state, undefined too), and
    `solved_without_carrying`; `began_without` lost credit at initialization, and `opened` of these
    carry at the end.
    """

    n: int
    diverged: int
    silent: int
    ever: int
    solved: int
    judged: int
    carrying: int
    solved_without_carrying: int
    began_without: int
    opened: int

    @property
    def lost(self) -> int:
        return self.diverged + self.silent

    @property
    def not_kept(self) -> int:
        return self.ever - self.solved

    @property
    def without_carrying(self) -> int:
        return self.judged - self.carrying


def classes(points: pd.DataFrame) -> pd.DataFrame:
    """Whether each point is in each class: columns lost, diverged, ever, solved, judged, carrying,
    began_without.

    `points`: columns status, outcome, solved_at, ends_solved, state, state_init.
    """
    judged = points["state"].notna()
    return pd.DataFrame(
        {
            "lost": lost(points),
            "diverged": points["status"].eq("diverged"),
            "ever": ever_solved(points),
            "solved": solved_at_end(points),
            "judged": judged,
            "carrying": points["state"].eq("carrying"),
            "began_without": judged & points["state_init"].isin(LOSES_CREDIT),
        }
    )


def tally(points: pd.DataFrame) -> Tally:
    """Count stored points by class."""
    of = classes(points)
    return Tally(
        n=len(points),
        diverged=int(of["diverged"].sum()),
        silent=int((of["lost"] & ~of["diverged"]).sum()),
        ever=int(of["ever"].sum()),
        solved=int(of["solved"].sum()),
        judged=int(of["judged"].sum()),
        carrying=int(of["carrying"].sum()),
        solved_without_carrying=int((of["solved"] & of["judged"] & ~of["carrying"]).sum()),
        began_without=int(of["began_without"].sum()),
        opened=int((of["began_without"] & of["carrying"]).sum()),
    )


def of_words(n: int, total: int) -> str:
    """3 of 18; all 18; none of 18."""
    return f"all {total}" if n == total > 1 else f"{n or 'none'} of {total}"


def of_these(n: int, total: int) -> str:
    """3 of these; all of these; none of these."""
    return f"{'all' if n == total > 1 else n or 'none'} of these"


def its(study: Study) -> str:
    """Whose task networks solve: their own one where tasks are a factor."""
    return "their" if "task" in study.factors else "the"
