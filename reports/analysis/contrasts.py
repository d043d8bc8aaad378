"""Planned contrasts: the family of tests of a study, with Holm's correction.

Declared in its YAML; else main effects and two-way interactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reports.analysis.comparison import Sides, chance, difference, match, term
from reports.analysis.measures import MEASURES, measured
from reports.data.study import Study
from reports.statistics import NO_ESTIMATE, Estimate
from reports.statistics.holm import holm
from reports.statistics.permutation import Tested, f_test
from reports.statistics.terms import terms

SEED = 2026  # of the permutations: the same store gives the same p


@dataclass(frozen=True)
class Contrast:
    """One test of the family.

    `difference` first minus second, `improve` P(a run of the first is better): of declared
    contrasts only.
    """

    name: str
    by: str
    of: Tested
    holm: float = float("nan")
    difference: Estimate = NO_ESTIMATE
    improve: Estimate = NO_ESTIMATE
    first: Mapping[str, Any] | None = None
    second: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Family:
    name: str
    tests: list[Contrast]


def planned(study: Study, draws: int) -> Family | None:
    """The contrasts of study.contrasts as one family; None where there are none."""
    asked = study.declaration.get("contrasts", [])
    if not asked:
        return None
    return _corrected(
        "the planned contrasts of the study", [_declared(study, one, draws) for one in asked]
    )


def factorial(study: Study, by: str, draws: int) -> Family | None:
    """Main effects and two-way interactions of all factors on a measure, as one family; None
    without factors.
    """
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
    return _corrected(f"{size} on {named(study, by)}", found)


def _declared(study: Study, one: Mapping[str, Any], draws: int) -> Contrast:
    by, measure = str(one["by"]), MEASURES[str(one["by"])]
    of = match(study, measured(study, by), one["first"], one["second"], one.get("when", {}))
    sides = {"first": one["first"], "second": one["second"]}
    if not of.blocks:
        return Contrast(
            str(one["name"]), by, Tested(float("nan"), 1, 0, float("nan"), 0, 0), **sides
        )
    made, row = term(study, of, str(one["name"]), [*one["first"], *one["second"]])
    values = of.points["value"].to_numpy(dtype=float)
    found = f_test(values, row, made, draws=draws, seed=SEED)
    better = study.higher_is_better if measure.more_is_better is None else measure.more_is_better
    return Contrast(
        str(one["name"]),
        by,
        found,
        difference=difference(study, of, share=measure.share, scored=by == "score"),
        improve=chance(of, higher_is_better=better),
        **sides,
    )


def _corrected(name: str, found: list[Contrast]) -> Family:
    adjusted = holm([one.of.p for one in found])
    return Family(
        name, [replace(one, holm=value) for one, value in zip(found, adjusted, strict=True)]
    )


def named(study: Study, by: str) -> str:
    return f"test {study.metric}" if by == "score" else MEASURES[by].text


def against_other_levels(study: Study, factor: str, level: str) -> tuple[Estimate, Estimate, Sides]:
    """A level's mean score less that of the other levels over matched arms, P(improve) of it
    against them, and the sides.
    """
    rest = [name for name in study.levels(factor) if name != level]
    of = match(study, measured(study, "score"), {factor: level}, {factor: rest}, {})
    if not of.blocks:
        return NO_ESTIMATE, NO_ESTIMATE, of
    return (
        difference(study, of, share=False, scored=True),
        chance(of, higher_is_better=study.higher_is_better),
        of,
    )
