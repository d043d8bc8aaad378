"""Main effects of the factors on the score: the two outermost levels of each, averaged over
everything else. Described, with intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.data.study import Study
from reports.data.test_set import contrast_noise
from reports.formatting import known
from reports.statistics import Estimate, level_gap, widen


@dataclass(frozen=True)
class Effect:
    """`difference` is the better level's mean minus the worse one's, in the direction that is
    positive, over arms that occur at both.
    """

    factor: str
    better: str
    worse: str
    better_mean: float
    worse_mean: float
    difference: Estimate


def main_effects(study: Study, points: pd.DataFrame) -> list[Effect]:
    """One a factor, largest first; a factor without an interval (one seed an arm) has none."""
    effects = []
    for factor, names in study.factors.items():
        gap = level_gap(
            points, "counted", factor, names, [key for key in study.factors if key != factor]
        )
        if gap is None or not known(gap.difference.low):
            continue
        wide = widen(gap.difference, contrast_noise(study, points, factor, gap.high, gap.low))
        sides = (
            (gap.high, gap.low, gap.high_mean, gap.low_mean)
            if study.higher_is_better
            else (gap.low, gap.high, gap.low_mean, gap.high_mean)
        )
        effects.append(Effect(factor, *sides, wide))
    return sorted(effects, key=lambda one: -one.difference.value)
