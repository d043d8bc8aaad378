"""How far the best of several validations flatters: best validation score minus test score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from reports.analysis.arms import with_counted
from reports.data.study import Study
from reports.formatting import decimals, known, level, listing, number
from reports.statistics import Estimate, weighted_arms
from study.design.outcomes import ever_solved

MOST = 5  # most levels in a sentence


@dataclass(frozen=True)
class Flattery:
    """Validation minus test, positive where validation is the better, over points not lost.

    `mean` over arms, with a t interval over seeds; `by`: the same at each level of the first
    factor; `met`: of these, points of which some validation met the task's rule, and `lost` as many
    that met it and were lost; `reach`: of `met`, those whose test score meets it as well (None with
    several tasks).
    """

    mean: Estimate
    by: Mapping[str, Estimate]
    met: int
    reach: int | None
    lost: int

    @property
    def whose(self) -> str:
        """Which networks `met` counts, for a sentence."""
        return f"met the rule{' and were not lost' if self.lost else ' on some validation'}"


def flattery(study: Study) -> Flattery | None:
    """The flattery of this study's points; None if none has both scores."""
    found: Flattery | None = study.cached("flattery", lambda: _flattery(study))
    return found


def _flattery(study: Study) -> Flattery | None:
    points = with_counted(study)
    lost = int((ever_solved(points) & points["lost"]).sum())
    points = points[~points["lost"]]
    sign = 1.0 if study.higher_is_better else -1.0
    points = points.assign(apart=sign * (points["val_score"] - points["score"]).astype(float))
    points = points[points["apart"].notna()]
    if points.empty:
        return None
    key, limit = study.matrix_factors[0], study.task.get("solved")
    met = points[ever_solved(points)]
    reach = None
    if known(limit) and not study.as_skill:
        reach = int((sign * met["score"].astype(float) >= sign * float(limit)).sum())
    by = {name: _mean(points[points[key] == name]) for name in study.levels(key)}
    return Flattery(
        _mean(points), {name: one for name, one in by.items() if one.n}, len(met), reach, lost
    )


def _mean(points: pd.DataFrame) -> Estimate:
    arms = points["arm"].unique()
    return weighted_arms(points, "apart", {int(arm): 1 / len(arms) for arm in arms})


def limit_on_test(study: Study) -> float | None:
    """Where the limit for "solved", which is held to validation, lies among test scores."""
    limit, found = study.task.get("solved"), flattery(study)
    if not known(limit) or study.as_skill:
        return None
    sign = 1.0 if study.higher_is_better else -1.0
    # Networks that never came near the limit do not say by how much validation flatters there.
    return float(limit) - (sign * found.mean.value if found and found.met else 0.0)


def flattery_words(study: Study) -> str:
    """For example: The best of several validations flatters: it is better than the test score by
    0.04 [0.03, 0.05] on average (gru 0.07) …
    """
    found = flattery(study)
    if found is None:
        return ""
    digits = decimals(found.mean.value, found.mean.half, 3)
    value = number(abs(found.mean.value), digits)
    around = (
        f" [{number(found.mean.low, digits)}, {number(found.mean.high, digits)}]"
        if known(found.mean.low)
        else ""
    )
    key = study.matrix_factors[0]
    by = (
        [
            f"{level(key, name)} {number(one.value, digits, sign=True)}"
            for name, one in found.by.items()
        ]
        if 1 < len(found.by) <= MOST
        else []
    )
    best = "The validation score" if study.adopted else "The best validation score"
    flatters = (
        "one of the two sets may be the harder"
        if study.adopted
        else "the best of several readings flatters, and one of the two sets may be the harder"
    )
    text = (
        f"{best} of a network is better than its test score by {value}{around}"
        f" on average{f' ({listing(by)})' if by else ''}: {flatters}."
        if found.mean.low > 0
        else f"{best} of a network is worse than its test score by"
        f" {value} [{number(-found.mean.high, digits)}, {number(-found.mean.low, digits)}] on"
        f" average{'' if study.adopted else ', so selection is not seen to flatter here'}."
        if found.mean.high < 0
        else f"{best} of a network lies"
        f" {number(found.mean.value, digits, sign=True)}{around} from its test score on average"
        " (positive: validation is the better)."
    )
    if found.met and found.reach is not None:
        reached = reaching(found.reach, found.met, found.whose)
        text += f" {reached[0].upper()}{reached[1:]} the limit on test."
    return text


def reaching(reach: int, met: int, how: str) -> str:
    """For example: of the 17 that ever met it, 11 reach."""
    if met == 1:
        return f"the one that {how} {'reaches' if reach else 'does not reach'}"
    return (
        f"of {met} that {how}, {'all' if reach == met else reach or 'none'}"
        f" {'reaches' if reach == 1 else 'reach'}"
    )
