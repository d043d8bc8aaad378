"""Judges claims: a statement, and the comparison that would show it.

A claim is judged within the factors that its effect depends on, and only by outcomes that occurred.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.analysis.claim_kinds import judge_all_or_none, judge_association, judge_ranking
from reports.analysis.comparison import Comparison, difference, has_interval, match, with_sign
from reports.analysis.judged_claim import LEVEL, JudgedClaim, Part, claim_of
from reports.analysis.measures import MEASURES, measured, sign
from reports.analysis.occurrence import nothing_to_decide
from reports.analysis.precision import what_would_decide
from reports.analysis.terms_shown import terms_shown
from reports.analysis.testable import why_not_testable
from reports.data.study import Study
from reports.findings.finding import (
    MIXED,
    MORE,
    NOT_DECIDED,
    NOT_TESTABLE,
    combined,
    depending,
    strength,
)
from reports.formatting import level as level_words
from reports.formatting import listing
from reports.statistics import Estimate
from reports.statistics.estimates import clamp_difference, difference_of
from study.design.claims import PREDICTORS, SHARE_OF_SOLVED, same_level


def judge(
    study: Study, claim: Mapping[str, Any], *, unit: float = 1.0, level: float = LEVEL
) -> JudgedClaim:
    """Judge a claim: better against worse over arms alike in everything else, where `when` holds.

    `reports.findings.finding.strength` has the rule. It is not decided if the outcome did not
    occur, and mixed if the effect depends on another factor and its levels decide differently.
    With `each`: it is what all levels of that factor agree on. `unit`: of `least`, in the task's
    metric.
    """
    claim, why = why_not_testable(study, claim)
    if why:
        return _not_testable(study, claim, why)
    if claim["by"] in PREDICTORS:
        return judge_association(study, claim)
    if claim["by"] == SHARE_OF_SOLVED:
        return judge_all_or_none(study, claim)
    if claim["by"] == "ranking":
        return judge_ranking(study, claim, unit)
    return _contrast(study, claim, unit, level)


def _not_testable(study: Study, claim: Mapping[str, Any], why: str) -> JudgedClaim:
    return claim_of(study, claim, study.stored.head(0), verdict=NOT_TESTABLE, why=why)


def _contrast(study: Study, claim: Mapping[str, Any], unit: float, level: float) -> JudgedClaim:
    by = str(claim["by"])
    measure = MEASURES[by]
    compared = match(
        study, measured(study, by), claim["better"], claim["worse"], claim.get("when", {})
    )
    least = float(claim["least"]) * (unit if measure.in_metric else 1.0)
    direction = str(claim.get("direction", MORE))
    judged = _Judge(study, by, least, direction)
    found, whole, why = judged(compared, level)
    word = whole
    each = str(claim.get("each", ""))
    if each in study.factors:
        parts = judged.parts(compared, each, level)
        word, why = combined([one.strength for one in parts]), ""
    else:
        parts = judged.moderator(compared, claim, level)
        if parts:
            word = depending([one.strength for one in parts], whole)
            why = "" if word == MIXED else why
    if word == NOT_DECIDED and not why:
        why = (
            _undecided(parts)
            if parts and (each or whole != NOT_DECIDED)
            else judged.both_ways(compared, claim)
            or what_would_decide(study, compared, by, found, least, direction, level)
        )
    return claim_of(
        study,
        claim,
        compared.points,
        values=(compared.values(compared.first), compared.values(compared.second)),
        difference=found,
        least=least,
        verdict=word,
        parts=parts,
        why=why,
    )


def _undecided(parts: Sequence[Part]) -> str:
    """Where a claim that is judged level by level is not decided."""
    open_ones = [one.name for one in parts if one.strength == NOT_DECIDED and not one.why]
    said = [f"for {one.name} {one.why}" for one in parts if one.strength == NOT_DECIDED and one.why]
    if open_ones:
        said.append(f"for {listing(open_ones)} the interval leaves it open")
    return "; ".join(said)


@dataclass(frozen=True)
class _Judge:
    """Judges comparisons by one measure."""

    study: Study
    by: str
    least: float
    direction: str

    def __call__(self, compared: Comparison, level: float) -> tuple[Estimate, str, str]:
        """Effect, strength, and why it cannot be decided ("" if that is not so)."""
        measure = MEASURES[self.by]
        found = with_sign(
            difference(
                self.study, compared, share=measure.share, scored=self.by == "score", level=level
            ),
            sign(self.study, self.by),
        )
        if measure.in_metric:
            found = clamp_difference(found, *self.study.score_range)
        word = strength(found, self.least, self.direction)
        why = nothing_to_decide(self.study, self.by, compared, self.least, word, self.direction)
        return found, NOT_DECIDED if why else word, why

    def parts(self, compared: Comparison, factor: str, level: float) -> list[Part]:
        """The claim within each level of a factor, corrected for their number (Bonferroni)."""
        arms = self.study.arms.set_index("arm")[factor]
        inside = {
            name: compared.only({int(arm) for arm in arms.index[arms == name]})
            for name in self.study.levels(factor)
        }
        return self._parts(factor, {name: one for name, one in inside.items() if one.blocks}, level)

    def moderator(self, compared: Comparison, claim: Mapping[str, Any], level: float) -> list[Part]:
        """The claim at the levels of the factor that its effect depends on most; [] if none does.

        Shown if two levels' effects differ by an interval apart from 0, corrected for all pairs of
        levels of all factors, or if the study's tests show the interaction (terms_shown); levels
        that a side of the claim joins count as well.
        """
        splits, partners = self._splits(compared, claim), self._partners(claim)
        pairs = sum(len(one) * (len(one) - 1) // 2 for one in splits.values())
        shown: list[tuple[float, list[Part]]] = []
        for (factor, _), inside in splits.items():
            corrected = 1 - (1 - level) / pairs
            effects = [self(one, corrected)[0] for one in inside.values()]
            apart = max(
                (
                    _distance(difference_of(*pair))
                    for pair in itertools.combinations(effects, 2)
                    if all(map(has_interval, pair))
                ),
                default=0.0,
            )
            if apart > 0 or factor in partners:
                shown.append((apart, self._parts(factor, inside, level)))
        differing = [one for one in shown if len({part.strength for part in one[1]}) > 1]
        return max(differing or shown, key=lambda one: one[0])[1] if shown else []

    def both_ways(self, compared: Comparison, claim: Mapping[str, Any]) -> str:
        """That the effect has both signs at levels of a factor, by more than matters each."""
        for (factor, _), inside in self._splits(compared, claim).items():
            effects = {name: self(one, LEVEL)[0].value for name, one in inside.items()}
            up, down = (
                [name for name, value in effects.items() if sign * value >= self.least > 0]
                for sign in (1, -1)
            )
            if up and down:
                most = max(up, key=lambda name: effects[name])
                least = min(down, key=lambda name: effects[name])
                both = " and ".join(
                    f"{effects[name]:+.2g} for {level_words(factor, name)}".replace("-", "−")
                    for name in (most, least)
                )
                return (
                    f"by {factor} the estimates go both ways ({both}), so that their mean says"
                    " little"
                )
        return ""

    def _partners(self, claim: Mapping[str, Any]) -> set[str]:
        """Factors whose interaction with those of the claim is shown in the whole study.

        Only of factors of which the claim has every level: an interaction may be that of another.
        """
        if self.by not in ("score", "D") or claim.get("when"):
            return set()
        found = terms_shown(self.study, self.by)
        keys = {
            key
            for key in {*claim["better"], *claim["worse"]}
            if all(
                any(
                    same_level(name, one)
                    for side in ("better", "worse")
                    for one in _as_list(claim[side].get(key, []))
                )
                for name in self.study.factors.get(key, [])
            )
        }
        return {name for key in keys for name in found.partners(key)} if found else set()

    def _parts(self, factor: str, inside: Mapping[str, Comparison], level: float) -> list[Part]:
        made = []
        for name, one in inside.items():
            found, word, why = self(one, 1 - (1 - level) / len(inside))
            made.append(Part(factor, name, found, word, why))
        return made

    def _splits(
        self, compared: Comparison, claim: Mapping[str, Any]
    ) -> dict[tuple[str, str], dict[str, Comparison]]:
        """Comparisons by level, for factors that blocks or a side have several levels of."""
        arms = self.study.arms.set_index("arm")
        first, second = set(compared.first), set(compared.second)
        made: dict[tuple[str, str], dict[str, Comparison]] = {}
        for factor in self.study.factors:
            sides: list[tuple[str, set[int], set[int]]]
            if factor not in {*claim["better"], *claim["worse"]}:
                sides = [("", first | second, set())]
            else:
                sides = [("better", first, second), ("worse", second, first)]
            for side, split, whole in sides:
                names = arms.loc[sorted(split), factor]
                inside = {
                    str(name): compared.only({*names.index[names == name], *whole})
                    for name in self.study.levels(factor)
                    if (names == name).any()
                }
                inside = {name: one for name, one in inside.items() if one.blocks}
                if len(inside) > 1:
                    made[factor, side] = inside
        return made


def _as_list(level: Any) -> list[Any]:
    return level if isinstance(level, list) else [level]


def _distance(estimate: Estimate) -> float:
    """How far an interval lies from 0, in half widths; 0 if it contains 0."""
    inner = max(estimate.low, -estimate.high, 0.0)
    return inner / estimate.half if inner and estimate.half > 0 else inner and math.inf
