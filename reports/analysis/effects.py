"""Main effects of the factors on the score, averaged over everything else, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from reports.data.study import Study
from reports.data.test_set import contrast_noise
from reports.formatting import known
from reports.statistics import Estimate, level_gap, widen


@dataclass(frozen=True)
class Effect:
    """The two levels of a factor that are furthest apart.

    `difference`: better minus worse, positive is better, over arms that occur at both levels.
    """

    factor: str
    better: str
    worse: str
    better_mean: float
    worse_mean: float
    difference: Estimate


def main_effects(study: Study, points: pd.DataFrame) -> list[Effect]:
    """One effect per factor, largest first; factors without an interval are left out."""
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
