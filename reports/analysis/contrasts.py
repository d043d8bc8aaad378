"""Contrasts of a study as one family of tests with Holm's correction.

Those that its YAML declares, else main effects and two-way interactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reports.analysis.comparison import (
    Comparison,
    as_term,
    difference,
    match,
    probability_of_improvement,
)
from reports.analysis.measures import MEASURES, measured
from reports.data.study import Study
from reports.formatting import p_text
from reports.statistics import NO_ESTIMATE, Estimate
from reports.statistics.holm import holm
from reports.statistics.permutation import TestResult, f_test
from reports.statistics.terms import terms

SEED = 2026  # of the permutations: the same store gives the same p


@dataclass(frozen=True)
class Contrast:
    """One test of the family.

    Only for declared contrasts: `difference`, first minus second; `improve`, P(a run of the first
    is better).
    """

    name: str
    by: str
    test: TestResult
    holm: float = float("nan")
    difference: Estimate = NO_ESTIMATE
    improve: Estimate = NO_ESTIMATE
    first: Mapping[str, Any] | None = None
    second: Mapping[str, Any] | None = None

    @property
    def p_text(self) -> str:
        return p_text(self.test.p, smallest=self.test.smallest)

    @property
    def holm_text(self) -> str:
        return p_text(self.holm, smallest=self.test.smallest)


@dataclass(frozen=True)
class Family:
    name: str
    tests: list[Contrast]


def planned_contrasts(study: Study, draws: int) -> Family | None:
    """The contrasts of study.contrasts as one family; None if there are none."""
    declared = study.declaration.get("contrasts", [])
    if not declared:
        return None
    return _corrected(
        "the planned contrasts of the study", [_declared(study, one, draws) for one in declared]
    )


def factorial_contrasts(study: Study, by: str, draws: int) -> Family | None:
    """Main effects and two-way interactions on a measure as one family; None without factors."""
    points = measured(study, by)
    arms = study.arms[study.arms["arm"].isin(points["arm"].unique())].reset_index(drop=True)
    if not study.factors or len(arms) < 2:
        return None
    rows = {int(arm): row for row, arm in enumerate(arms["arm"])}
    arm = np.array([rows[int(one)] for one in points["arm"]], dtype=int)
    values = points["value"].to_numpy(dtype=float)
    found = [
        Contrast(one.name, by, f_test(values, arm, one, draws=draws, seed=SEED))
        for one in terms(arms, list(study.factors))
    ]
    size = "main effects and two-way interactions" if len(study.factors) > 1 else "main effect"
    return _corrected(f"{size} on {measure_name(study, by)}", found)


def _declared(study: Study, one: Mapping[str, Any], draws: int) -> Contrast:
    by, measure = str(one["by"]), MEASURES[str(one["by"])]
    compared = match(study, measured(study, by), one["first"], one["second"], one.get("when", {}))
    sides = {"first": one["first"], "second": one["second"]}
    if not compared.blocks:
        return Contrast(
            str(one["name"]), by, TestResult(float("nan"), 1, 0, float("nan"), 0, 0), **sides
        )
    made, row = as_term(study, compared, str(one["name"]), [*one["first"], *one["second"]])
    values = compared.points["value"].to_numpy(dtype=float)
    found = f_test(values, row, made, draws=draws, seed=SEED)
    better = study.higher_is_better if measure.more_is_better is None else measure.more_is_better
    return Contrast(
        str(one["name"]),
        by,
        found,
        difference=difference(study, compared, share=measure.share, scored=by == "score"),
        improve=probability_of_improvement(compared, higher_is_better=better),
        **sides,
    )


def _corrected(name: str, found: list[Contrast]) -> Family:
    adjusted = holm([one.test.p for one in found])
    return Family(
        name, [replace(one, holm=value) for one, value in zip(found, adjusted, strict=True)]
    )


def measure_name(study: Study, by: str) -> str:
    return f"test {study.metric}" if by == "score" else MEASURES[by].text


def against_other_levels(
    study: Study, factor: str, level: str
) -> tuple[Estimate, Estimate, Comparison]:
    """A level against the other levels over matched arms.

    Difference of mean scores, P(improve), and the comparison.
    """
    rest = [name for name in study.levels(factor) if name != level]
    compared = match(study, measured(study, "score"), {factor: level}, {factor: rest}, {})
    if not compared.blocks:
        return NO_ESTIMATE, NO_ESTIMATE, compared
    return (
        difference(study, compared, share=False, scored=True),
        probability_of_improvement(compared, higher_is_better=study.higher_is_better),
        compared,
    )
