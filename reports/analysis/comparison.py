"""Compares two sets of arms that are alike in every factor that the comparison does not name."""

from __future__ import annotations

import functools
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reports.data.study import Study
from reports.data.test_set import weighted_noise
from reports.statistics import Estimate, widen
from reports.statistics.estimates import stratified_share_difference
from reports.statistics.improvement import improvement
from reports.statistics.levels import values_by_arm, weighted_values
from reports.statistics.terms import Term, codes, contrast
from study.design.claims import EXTREMES, same_level
from study.design.outcomes import ever_solved


@dataclass(frozen=True)
class Comparison:
    """Two sets of arms to compare, matched in blocks of equal other factors.

    `weights`: per arm, positive for the first side and negative for the second; each side sums to 1
    in size. `points`: of these arms, with column `value`; `blocks`: pairs of lists of arms.
    """

    points: pd.DataFrame
    weights: Mapping[int, float]
    blocks: Sequence[tuple[list[int], list[int]]]

    @property
    def first(self) -> list[int]:
        return [arm for block in self.blocks for arm in block[0]]

    @property
    def second(self) -> list[int]:
        return [arm for block in self.blocks for arm in block[1]]

    @functools.cached_property
    def by_arm(self) -> Mapping[int, np.ndarray]:
        return values_by_arm(self.points, "value")

    def values(self, arms: Sequence[int]) -> Side:
        return Side(self, arms)

    def of(self, arms: Sequence[int]) -> pd.DataFrame:
        return self.points[self.points["arm"].isin(arms)]

    def only(self, arms: Container[int]) -> Comparison:
        """The comparison of these arms alone, in the blocks that still have both sides."""
        kept = [
            ([arm for arm in first if arm in arms], [arm for arm in second if arm in arms])
            for first, second in self.blocks
        ]
        return in_blocks(self.points, [block for block in kept if all(block)])


class Side(list[float]):
    """The values of all points of a side, with what an effect over matched arms makes of them."""

    def __init__(self, comparison: Comparison, arms: Sequence[int]) -> None:
        super().__init__(float(value) for arm in arms for value in comparison.by_arm.get(arm, ()))
        self._comparison, self._arms = comparison, arms

    @property
    def weighted_mean(self) -> float:
        """Arms weigh as in the effect, so that the two sides differ by it."""
        return float(self._weights @ np.array(self))

    @property
    def weighted_sd(self) -> float:
        """Around that mean; NaN for one point."""
        if len(self) < 2:
            return math.nan
        weights, away = self._weights, np.array(self) - self.weighted_mean
        return math.sqrt(float(weights @ away**2) / (1 - float(weights @ weights)))

    @property
    def weighted_share(self) -> float:
        """Share of ones, blocks weighing as in `stratified_share_difference`."""
        of, weights = self._comparison, []
        for block in of.blocks:
            one, other = (len(of.values(arms)) for arms in block)
            own = of.values([arm for arm in self._arms if arm in {*block[0], *block[1]}])
            if one and other and own:
                weights.append((one * other / (one + other), float(np.mean(own))))
        total = sum(weight for weight, _ in weights)
        return sum(weight * share for weight, share in weights) / total if total else math.nan

    @property
    def unmet(self) -> int:
        """How many never met the task's rule, and count to the end of the run."""
        points = self._comparison.of(self._arms)
        return int((~ever_solved(points) & (points["status"] != "pruned")).sum())

    @property
    def _weights(self) -> np.ndarray:
        by_arm, weights = self._comparison.by_arm, self._comparison.weights
        made = [
            abs(weights[arm]) / len(by_arm[arm]) for arm in self._arms for _ in by_arm.get(arm, ())
        ]
        return np.array(made) / sum(made)


def in_blocks(points: pd.DataFrame, blocks: Sequence[tuple[list[int], list[int]]]) -> Comparison:
    """The comparison of these blocks: blocks weigh equally, and arms within a side of a block."""
    weights: dict[int, float] = {}
    for pair in blocks:
        for own, way in zip(pair, (1.0, -1.0), strict=True):
            for arm in own:
                weights[arm] = weights.get(arm, 0.0) + way / (len(blocks) * len(own))
    return Comparison(points[points["arm"].isin(weights)], weights, blocks)


def match(
    study: Study,
    points: pd.DataFrame,
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    when: Mapping[str, Any],
) -> Comparison:
    """Match the arms of `points` that have the levels of `first` and of `second`.

    `when`: levels that both must have.
    """
    arms = study.arms[study.arms["arm"].isin(points["arm"].unique())].reset_index(drop=True)
    others = [key for key in study.factors if key not in {*first, *second}]
    by_block: dict[int, tuple[list[int], list[int]]] = {}
    numbers, block = [int(arm) for arm in arms["arm"]], codes(arms, others)
    for side, place in ((first, 0), (second, 1)):
        for row in np.flatnonzero(has_levels(study, arms, {**when, **side})):
            by_block.setdefault(int(block[row]), ([], []))[place].append(numbers[row])
    return in_blocks(points, [by_block[one] for one in sorted(by_block) if all(by_block[one])])


def has_levels(study: Study, arms: pd.DataFrame, when: Mapping[str, Any]) -> np.ndarray:
    """Which rows have these levels; constant settings count too.

    "smallest" and "largest" are allowed for factors whose levels are numbers.
    """
    keep = np.ones(len(arms), dtype=bool)
    for key, level in when.items():
        wanted = {
            extreme(study, key, str(one)) for one in (level if isinstance(level, list) else [level])
        }
        if key in arms:
            here = [
                own for own in arms[key].unique() if any(same_level(own, one) for one in wanted)
            ]
            keep &= arms[key].isin(here).to_numpy()
        else:
            keep &= any(same_level(study.constant.get(key), one) for one in wanted)
    return keep


def extreme(study: Study, key: str, level: str) -> str:
    """The level that "smallest" or "largest" stands for; any other level as it is."""
    numbers = as_numbers(study.factors.get(key, []))
    return (
        level
        if level not in EXTREMES or not numbers
        else (min if level == EXTREMES[0] else max)(numbers, key=lambda text: numbers[text])
    )


def as_numbers(levels: Sequence[str]) -> dict[str, float]:
    """Levels with their numbers; {} if one is not a number."""
    try:
        return {level: float(level) for level in levels}
    except ValueError:
        return {}


def difference(
    study: Study, comparison: Comparison, *, share: bool, scored: bool, level: float = 0.95
) -> Estimate:
    """First side minus second, within blocks of arms that are alike in everything else.

    Means: t interval over seeds within fixed arms (Satterthwaite), with the test set's noise if
    scores are compared. Shares: Newcombe's interval (1998, method 10) within blocks.
    """
    found = seed_difference(comparison, share=share, level=level)
    if share or not scored:
        return found
    return widen(found, weighted_noise(study, comparison.weights), level=level)


def seed_difference(comparison: Comparison, *, share: bool, level: float = 0.95) -> Estimate:
    """As `difference`, with the noise of the seeds alone."""
    if share:
        return stratified_share_difference(
            [(comparison.values(a), comparison.values(b)) for a, b in comparison.blocks],
            level=level,
        )
    return weighted_values(comparison.by_arm, comparison.weights, level=level)


def probability_of_improvement(comparison: Comparison, *, higher_is_better: bool) -> Estimate:
    """P(improve): a run of the first side beats one of the second in the same block."""
    pairs = [(comparison.values(a), comparison.values(b)) for a, b in comparison.blocks]
    return improvement(pairs, higher_is_better=higher_is_better)


def as_term(
    study: Study, comparison: Comparison, name: str, keys: Sequence[str]
) -> tuple[Term, np.ndarray]:
    """The comparison as a term over its arms, and each point's row in it.

    Points are exchangeable within blocks of all factors but `keys`.
    """
    arms = study.arms[study.arms["arm"].isin(comparison.weights)].reset_index(drop=True)
    others = [key for key in study.factors if key not in keys]
    rows = {int(arm): row for row, arm in enumerate(arms["arm"])}
    made = contrast(
        comparison.weights, [int(arm) for arm in arms["arm"]], codes(arms, others), name
    )
    return made, np.array([rows[int(arm)] for arm in comparison.points["arm"]], dtype=int)


def with_sign(estimate: Estimate, sign: float) -> Estimate:
    """The same difference with its sign reversed if `sign` is −1."""
    return (
        estimate
        if sign > 0
        else Estimate(-estimate.value, -estimate.high, -estimate.low, estimate.n)
    )


def side_words(side: Mapping[str, Any]) -> dict[str, str]:
    """Levels of a side as text; several levels are joined by "or"."""
    return {
        key: " or ".join(map(str, level)) if isinstance(level, list) else str(level)
        for key, level in side.items()
    }


def has_interval(estimate: Estimate) -> bool:
    return math.isfinite(estimate.low) and math.isfinite(estimate.high)
