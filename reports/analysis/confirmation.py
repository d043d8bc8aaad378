"""The confirmation of a study: its best arms trained again on fresh seeds (make confirm)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reports.analysis.arms import summary, with_counted, with_interval
from reports.analysis.comparison import (
    Comparison,
    as_term,
    difference,
    probability_of_improvement,
    with_sign,
)
from reports.data.study import Study
from reports.formatting import count, known, listing, p_text, score_number
from reports.statistics import NO_ESTIMATE, Estimate
from reports.statistics.holm import holm
from reports.statistics.permutation import f_test
from study.design.ranking import best_first
from study.store import Store

SEED = 2026  # of the permutations
DRAWS = 9999
LEVEL = 0.05  # of the tests


@dataclass(frozen=True)
class ConfirmedArm:
    """One arm: scores on the seeds that chose it (`screened`) and on fresh ones (`fresh`).

    `behind`: how far it is behind the first arm on fresh seeds (positive: worse), with p of a
    permutation test, corrected by Holm; `smallest`: no arrangement of the seeds gives less.
    """

    arm: int
    label: str
    screened: Sequence[float]
    fresh: Sequence[float]
    screening: Estimate
    estimate: Estimate
    behind: Estimate = NO_ESTIMATE
    improve: Estimate = NO_ESTIMATE
    p: float = float("nan")
    smallest: bool = False

    @property
    def p_words(self) -> str:
        return p_text(self.p, smallest=self.smallest)


@dataclass(frozen=True)
class Confirmation:
    """Arms in the order of the recommendation. `fresh`: whether no seed was used before."""

    arms: Sequence[ConfirmedArm]
    seeds: Sequence[int]
    missing: int
    fresh: bool


def confirmation(study: Study) -> Confirmation | None:
    """The confirmation stored beside the study; None if there is none or nothing is trained yet."""
    return study.cached("confirmation", lambda: _read(study))


def _read(study: Study) -> Confirmation | None:
    folder = study.store.folder / f"{study.name}-confirm"
    if not (folder / "study.json").exists():
        return None
    again = Study(Store(folder))
    screened, fresh = with_counted(study), with_counted(again)
    order = {
        tuple(row[key] for key in study.factors): (int(row["arm"]), str(row["label"]))
        for _, row in study.arms.iterrows()
    }
    numbers = {}
    for _, row in again.arms.iterrows():
        known = order.get(tuple(_level(again, row, key) for key in study.factors))
        if known is not None and (fresh["arm"] == row["arm"]).any():
            numbers[int(row["arm"])] = known
    if not numbers:
        return None
    ranks = {
        arm: rank
        for rank, arm in enumerate(
            best_first(study.stored, higher_is_better=study.higher_is_better)
        )
    }
    by_rank = sorted(numbers, key=lambda arm: ranks.get(numbers[arm][0], len(ranks)))
    first, made = by_rank[0], []
    for arm in by_rank:
        screened_as, label = numbers[arm]
        before, after = screened[screened["arm"] == screened_as], fresh[fresh["arm"] == arm]
        old, new = (
            summary(of).set_index("arm").loc[place, "score"]
            for of, place in ((study, screened_as), (again, arm))
        )
        made.append(
            ConfirmedArm(
                screened_as,
                label,
                before["counted"].tolist(),
                after["counted"].tolist(),
                old,
                new,
                *_behind(again, fresh, first, arm),
            )
        )
    adjusted = holm([one.p for one in made])
    arms = [replace(one, p=p) for one, p in zip(made, adjusted, strict=True)]
    used = {int(seed) for seed in study.seeds} | {
        int(seed) for seed in study.outside_grid["seed"].dropna()
    }
    missing = len(again.grid) - len(again.stored)
    return Confirmation(
        arms,
        [int(seed) for seed in again.seeds],
        missing,
        not used & {int(seed) for seed in again.seeds},
    )


def _level(study: Study, row: Mapping[str, str], key: str) -> str | None:
    return row[key] if key in row else study.constant.get(key)


def _behind(
    again: Study, points: pd.DataFrame, first: int, arm: int
) -> tuple[Estimate, Estimate, float, bool]:
    """Difference, P(improve) of the first arm over this one, p, and whether p is the smallest."""
    if arm == first:
        return NO_ESTIMATE, NO_ESTIMATE, float("nan"), False
    both = points[points["arm"].isin([first, arm])].assign(
        value=lambda points_of: points_of["counted"].astype(float)
    )
    both = both[np.isfinite(both["value"])]
    if both["arm"].nunique() < 2:
        return NO_ESTIMATE, NO_ESTIMATE, float("nan"), False
    points_of = Comparison(both, {first: 1.0, arm: -1.0}, [([first], [arm])])
    made, row = as_term(again, points_of, "first against another", list(again.factors))
    test = f_test(both["value"].to_numpy(dtype=float), row, made, draws=DRAWS, seed=SEED)
    found = with_sign(
        difference(again, points_of, share=False, scored=True),
        1.0 if again.higher_is_better else -1.0,
    )
    improve = probability_of_improvement(points_of, higher_is_better=again.higher_is_better)
    return found, improve, test.p, test.smallest


def confirmation_sentence(study: Study, confirmed: Confirmation) -> str:
    """For example: Confirmed on 5 fresh seeds: lstm has .91 (on the seeds that chose it: .93)."""
    first, *others = confirmed.arms
    sentence = (
        f"Confirmed on {count(len(confirmed.seeds), 'fresh seed')}: {first.label}, the"
        f" recommended recipe, has a mean test {study.metric} of {with_interval(first.estimate, 3)}"
        f" (on the seeds that chose it: {score_number(first.screening.value, 3)})."
    )
    if not others:
        return sentence
    ahead = [one for one in others if known(one.p) and one.p <= LEVEL and one.behind.value > 0]
    beaten = [one for one in others if known(one.p) and one.p <= LEVEL and one.behind.value < 0]
    level = [one for one in others if one not in ahead and one not in beaten]
    if ahead:
        sentence += f" It is ahead of {listing(_against_first(one) for one in ahead)}."
    if beaten:
        behind = listing(_against_first(one) for one in beaten)
        sentence += f" It lies behind {behind}: the choice did not hold."
    if level:
        sentence += (
            f" It cannot be told apart from {listing(_against_first(one) for one in level)}."
        )
    return (
        sentence + " Tests: permutation of seeds between two recipes, Holm over"
        f" {count(len(others), 'comparison')}."
    )


def _against_first(one: ConfirmedArm) -> str:
    p = f", p {one.p_words}" if known(one.p) else ""
    return f"{one.label} (difference {with_interval(one.behind, 3, sign=True)}{p})"
