"""Counts of points by what became of them: every sentence and table takes them from here."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from study.design.outcomes import ever_solved, lost, solved_at_end

LOSES_CREDIT = ("vanishing", "fading")  # states in which little arrives from the judged lag


@dataclass(frozen=True)
class Tally:
    """Numbers of points, of `n`.

    `diverged` and `silent` are together `lost`; `ever` met the task's rule at some validation,
    `solved` at the last one, and `gave_up` at some but not at the last. Of `judged`, which have a
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
    solved_carrying: int
    solved_without_carrying: int
    began_without: int
    opened: int

    @property
    def lost(self) -> int:
        return self.diverged + self.silent

    @property
    def gave_up(self) -> int:
        return self.ever - self.solved

    @property
    def without_carrying(self) -> int:
        return self.judged - self.carrying


def tally(points: pd.DataFrame) -> Tally:
    """Count stored points: columns status, outcome, solved_at, ends_solved, state, state_init."""
    gone, solved = lost(points), solved_at_end(points)
    diverged = points["status"].eq("diverged")
    judged = points["state"].notna()
    carrying = points["state"].eq("carrying")
    began = judged & points["state_init"].isin(LOSES_CREDIT)
    return Tally(
        n=len(points),
        diverged=int(diverged.sum()),
        silent=int((gone & ~diverged).sum()),
        ever=int(ever_solved(points).sum()),
        solved=int(solved.sum()),
        judged=int(judged.sum()),
        carrying=int(carrying.sum()),
        solved_carrying=int((solved & carrying).sum()),
        solved_without_carrying=int((solved & judged & ~carrying).sum()),
        began_without=int(began.sum()),
        opened=int((began & carrying).sum()),
    )
