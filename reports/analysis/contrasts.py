"""Contrasts of a study as one family of tests with Holm's correction.

Those that its YAML declares, else main effects and two-way interactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from reports.analysis.comparison import (
    Comparison,
    as_term,
    difference,
    match,
    probability_of_improvement,
)
from reports.analysis.measures import MEASURES, measured
from reports.analysis.terms_shown import SEED, Decided, decide, terms_shown
from reports.data.study import Study
from reports.formatting import p_text
from reports.statistics import NO_ESTIMATE, Estimate
from reports.statistics.permutation import TestResult, f_test


@dataclass(frozen=True)
class Contrast:
    """One test of the family; `shown`: None if not testable or too close to call.

    Only for declared contrasts: `difference`, first minus second; `improve`, P(a run of the first
    is better).
    """

    name: str
    by: str
    decided: Decided
    difference: Estimate = NO_ESTIMATE
    improve: Estimate = NO_ESTIMATE
    first: Mapping[str, Any] | None = None
    second: Mapping[str, Any] | None = None

    @property
    def test(self) -> TestResult:
        return self.decided.test

    @property
    def holm(self) -> float:
        return self.decided.holm

    @property
    def shown(self) -> bool | None:
        return self.decided.shown

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


def planned_contrasts(study: Study) -> Family | None:
    """The contrasts of study.contrasts as one family; None if there are none."""
    declared = study.declaration.get("contrasts", [])
    if not declared:
        return None
    found = decide([partial(_test, study, one) for one in declared])
    return Family(
        "the planned contrasts of the study",
        [_declared(study, *pair) for pair in zip(declared, found, strict=True)],
    )


def factorial_contrasts(study: Study, by: str) -> Family | None:
    """Main effects and two-way interactions on a measure as one family; None without factors."""
    found = terms_shown(study, by)
    if found is None:
        return None
    size = "main effects and two-way interactions" if len(study.factors) > 1 else "main effect"
    return Family(
        f"{size} on {measure_name(study, by)}",
        [Contrast(one.name, by, one.decided) for one in found.terms],
    )


def _compared(study: Study, one: Mapping[str, Any]) -> Comparison:
    points = measured(study, str(one["by"]))
    return match(study, points, one["first"], one["second"], one.get("when", {}))


def _test(study: Study, one: Mapping[str, Any], draws: int) -> TestResult:
    compared = _compared(study, one)
    if not compared.blocks:
        return TestResult(float("nan"), 1, 0, float("nan"), 0, 0)
    made, row = as_term(study, compared, str(one["name"]), [*one["first"], *one["second"]])
    values = compared.points["value"].to_numpy(dtype=float)
    return f_test(values, row, made, draws=draws, seed=SEED)


def _declared(study: Study, one: Mapping[str, Any], decided: Decided) -> Contrast:
    by, compared = str(one["by"]), _compared(study, one)
    name, sides = str(one["name"]), (one["first"], one["second"])
    if not compared.blocks:
        return Contrast(name, by, decided, NO_ESTIMATE, NO_ESTIMATE, *sides)
    measure = MEASURES[by]
    better = study.higher_is_better if measure.more_is_better is None else measure.more_is_better
    return Contrast(
        name,
        by,
        decided,
        difference(study, compared, share=measure.share, scored=by == "score"),
        probability_of_improvement(compared, higher_is_better=better),
        *sides,
    )


def measure_name(study: Study, by: str) -> str:
    return f"test {study.metric}" if by == "score" else MEASURES[by].text


def against_other_levels(
    study: Study,
    factor: str,
    level: str,
    when: Mapping[str, Any] | None = None,
    *,
    confidence: float = 0.95,
) -> tuple[Estimate, Estimate, Comparison]:
    """A level against the other levels over matched arms; `when`: levels that both have.

    Difference of mean scores, P(improve), and the comparison.
    """
    rest = [name for name in study.levels(factor) if name != level]
    sides = {factor: level}, {factor: rest}
    compared = match(study, measured(study, "score"), *sides, when or {})
    if not compared.blocks:
        return NO_ESTIMATE, NO_ESTIMATE, compared
    return (
        difference(study, compared, share=False, scored=True, level=confidence),
        probability_of_improvement(compared, higher_is_better=study.higher_is_better),
        compared,
    )
