"""Judges claims: a statement, and the comparison that would show it.

A claim is judged within the factors that its effect depends on, and only by outcomes that occurred.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from reports.analysis.associations import association, association_words, at_share
from reports.analysis.comparison import (
    Comparison,
    difference,
    extreme,
    has_interval,
    has_levels,
    match,
    side_words,
    with_sign,
)
from reports.analysis.measures import MEASURES, measured, sign
from reports.analysis.occurrence import nothing_to_decide
from reports.analysis.precision import what_would_decide
from reports.analysis.scope import length_words, scope_words
from reports.analysis.terms_shown import terms_shown
from reports.analysis.testable import why_not_testable
from reports.data.study import Study
from reports.findings.finding import (
    MIXED,
    MORE,
    NOT_DECIDED,
    NOT_TESTABLE,
    TOO_SMALL,
    combined,
    depending,
    strength,
)
from reports.formatting import decimals, levels, listing, number
from reports.formatting import level as level_words
from reports.statistics import NO_ESTIMATE, Estimate, share_over_arms
from reports.statistics.estimates import difference_of
from study.design.claims import PREDICTORS, SHARE_OF_SOLVED, same_level
from study.design.outcomes import solved_at_end
from study.design.ranking import best_first, ranking

# Of the intervals that decide: a page judges twenty claims, and hardly one may be wrong.
LEVEL = 0.99
DRAWS = 10_000  # of the bootstrap over arms, at least, for claims about what goes with success


@dataclass(frozen=True)
class Part:
    """The claim at one level of a factor that its effect may depend on."""

    factor: str
    level: str
    effect: Estimate
    strength: str

    @property
    def name(self) -> str:
        return level_words(self.factor, self.level)


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with what was found.

    `difference`: better minus worse (positive supports the claim); `values`: of each side;
    `rests_on`: ids of points; `parts`: the same within each level of the factor that the claim
    names (`each`), or of one that its effect is shown to depend on; `why`: why it is not decided or
    not testable, and what would decide it; `text`: replaces the sides of a claim that has none;
    `length`: of the task, for "here".
    """

    statement: str
    source: str
    by: str
    measure: str
    better: Mapping[str, str]
    worse: Mapping[str, str]
    values: tuple[Sequence[float], Sequence[float]]
    difference: Estimate
    least: float
    direction: str
    verdict: str
    rests_on: Sequence[str] = ()
    parts: Sequence[Part] = field(default=())
    text: str = ""
    why: str = ""
    length: str = ""
    scope: str = ""

    @property
    def share(self) -> bool:
        return self.by in MEASURES and MEASURES[self.by].share


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
        return _association(study, claim)
    if claim["by"] == SHARE_OF_SOLVED:
        return _all_or_none(study, claim)
    if claim["by"] == "ranking":
        return _ranking(study, claim, unit)
    return _contrast(study, claim, unit, level)


def _base(
    study: Study, claim: Mapping[str, Any], points: pd.DataFrame, **found: Any
) -> JudgedClaim:
    """The parts of a judged claim that do not depend on how it is judged."""
    texts = [_side_here(study, claim.get(side, {})) for side in ("better", "worse")]
    known = {
        "measure": MEASURES[str(claim["by"])].text if claim["by"] in MEASURES else "",
        "values": ((), ()),
        "difference": NO_ESTIMATE,
        "least": float(claim["least"]),
        "direction": str(claim.get("direction", MORE)),
        "rests_on": tuple(str(id) for id in points["id"]),
        "length": length_words(study, points) if len(points) else "",
        "scope": scope_words(study, points) if len(points) else "",
    }
    return JudgedClaim(
        statement=str(claim["statement"]),
        source=str(claim.get("source", "")),
        by=str(claim["by"]),
        better=texts[0],
        worse=texts[1],
        **{**known, **found},
    )


def _side_here(study: Study, side: Mapping[str, Any]) -> dict[str, str]:
    """The levels of a side that this study has, as text; "smallest" as the level that it is."""
    here, keys = {}, {str(key): key for key in study.factors}  # which know their short names
    for key, level in side.items():
        named = level if isinstance(level, list) else [level]
        wanted = [extreme(study, key, str(one)) for one in named]
        own = [
            one
            for one in study.factors.get(key, [])
            if any(same_level(one, name) for name in wanted)
        ]
        here[keys.get(key, key)] = own or level
    return side_words(here)


def _not_testable(study: Study, claim: Mapping[str, Any], why: str) -> JudgedClaim:
    return _base(study, claim, study.stored.head(0), verdict=NOT_TESTABLE, why=why)


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
            else what_would_decide(study, compared, by, found, least, direction, level)
        )
    return _base(
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
    names = [one.name for one in parts if one.strength == NOT_DECIDED]
    return f"for {listing(names)} the interval leaves it open"


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
            found, word, _ = self(one, 1 - (1 - level) / len(inside))
            made.append(Part(factor, name, found, word))
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


def _ranking(study: Study, claim: Mapping[str, Any], unit: float) -> JudgedClaim:
    """Whether the arms rank differently on the two sides: the best on one side loses on the other.

    Let a and b be the best arms (as recommended) on each side. The effect is the smaller of a's
    lead over b where a won and b's lead over a where b won; its interval has the smaller ends, so
    that both leads must hold (intersection–union; Berger 1982). If one arm wins on both sides, the
    effect is its smaller lead over the runners-up, counted against the claim.
    """
    points = measured(study, "score")
    compared = match(study, points, claim["better"], claim["worse"], claim.get("when", {}))
    shared = [key for key in study.factors if key not in {*claim["better"], *claim["worse"]}]
    names = {
        int(row["arm"]): levels({key: row[key] for key in shared})
        for _, row in study.arms.iterrows()
    }
    found, text, least = NO_ESTIMATE, "", float(claim["least"]) * unit
    why = "there are fewer than two arms to rank"
    idle = [
        side
        for side, arms in (("better", compared.first), ("worse", compared.second))
        if not _learned(study, points, arms)
    ]
    if len(compared.blocks) > 1 and idle:
        sides = " and with ".join(levels(_side_here(study, claim[side])) for side in idle)
        why = f"with {sides} no arm learned anything that it could be ranked by"
    elif len(compared.blocks) > 1:
        (a, second_a, at_a), (b, second_b, at_b) = (
            _best_two(study, points, arms, names) for arms in (compared.first, compared.second)
        )
        lead_a = _lead(study, points, at_a[a], at_a[b if a != b else second_a])
        lead_b = _lead(study, points, at_b[b], at_b[a if a != b else second_b])
        value, low, high = (
            min(getattr(one, end) for one in (lead_a, lead_b)) for end in ("value", "low", "high")
        )
        smaller = Estimate(value, low, high, lead_a.n + lead_b.n)
        found = smaller if a != b else with_sign(smaller, -1.0)
        won = (
            f"{a} leads {b} by {_lead_number(lead_a)} on one side, {b} leads {a} by"
            f" {_lead_number(lead_b)} on the other"
            if a != b
            else f"{a} on both sides"
        )
        text = f"First by validation, with leads in test score: {won}."
        why = nothing_to_decide(study, "score", compared, least, strength(found, least), MORE) or (
            "the leads are within what seeds and test set vary by"
            if strength(found, least) == NOT_DECIDED
            else ""
        )
    word = NOT_DECIDED if why else strength(found, least)
    if word == TOO_SMALL:
        word, why = NOT_DECIDED, "the best arms are too close to be ranked"
    return _base(
        study,
        claim,
        compared.points,
        measure="lead that changes sides",
        values=(compared.values(compared.first), compared.values(compared.second)),
        difference=found,
        least=least,
        direction=MORE,
        verdict=word,
        text=text,
        why=why,
    )


def _learned(study: Study, points: pd.DataFrame, arms: Sequence[int]) -> bool:
    """Whether any of these arms learned anything."""
    found = ranking(points[points["arm"].isin(arms)], higher_is_better=study.higher_is_better)
    return bool(found["learned"].any())


def _lead_number(lead: Estimate) -> str:
    return number(lead.value, decimals(lead.value, lead.half, 3))


def _best_two(
    study: Study, points: pd.DataFrame, arms: Sequence[int], names: Mapping[int, str]
) -> tuple[str, str, dict[str, int]]:
    """Names of the two best arms, and all arms by name."""
    order = best_first(points[points["arm"].isin(arms)], higher_is_better=study.higher_is_better)
    return names[order[0]], names[order[1]], {names[arm]: arm for arm in order}


def _lead(study: Study, points: pd.DataFrame, one: int, other: int) -> Estimate:
    pair = Comparison(
        points[points["arm"].isin([one, other])], {one: 1.0, other: -1.0}, [([one], [other])]
    )
    return with_sign(difference(study, pair, share=False, scored=True), sign(study, "score"))


def _association(study: Study, claim: Mapping[str, Any]) -> JudgedClaim:
    """Whether D separates solved from unsolved points, within the levels of every factor."""
    least, direction = float(claim["least"]), str(claim.get("direction", MORE))
    points = measured(study, "solved")
    points = points[has_levels(study, points, claim.get("when", {}))]
    found = association(study, points, at_share(study, float(claim["by"] == "auc_D")), DRAWS)
    word, effect, why = found.judged(least, direction)
    solved = points["value"].tolist()
    measure = (
        f"AUC − .5 of D {'at initialization' if claim['by'] == 'auc_D_init' else 'at the end'}"
        " for solved"
    )
    return _base(
        study,
        claim,
        points,
        measure=measure,
        values=([one for one in solved if one == 1], [one for one in solved if one == 0]),
        difference=effect,
        verdict=word,
        text="" if found.too_few else f"{association_words(found)}.",
        why=why,
    )


def _all_or_none(study: Study, claim: Mapping[str, Any]) -> JudgedClaim:
    """Whether all networks that solved their task carry at the end, but for a share `least`.

    The effect is the share beyond one half, over arms, judged as any effect against 1/2 − `least`:
    holds if most do surely and at least 1 − `least` do, opposite if it is so of those that do not,
    and mixed if surely neither.
    """
    points = measured(study, "carries")
    solved = points[solved_at_end(points)]
    others = points[~points["id"].isin(solved["id"])]
    carrying, n = int(solved["value"].sum()), len(solved)
    share = share_over_arms(solved["value"].to_numpy(), solved["arm"].to_numpy(), level=LEVEL)
    over = "over arms" if solved["arm"].nunique() > 1 else "over networks"
    effect = Estimate(share.value - 0.5, share.low - 0.5, share.high - 0.5, n)
    least = 0.5 - float(claim["least"])
    word, why = NOT_DECIDED, "no network solved its task at the end"
    if n:
        word, why = strength(effect, least), "more solved networks would decide it"
    text = (
        f"{carrying} of {n} that solved their task carry at the end{_others(others['value'])}. It"
        f" holds if at least {100 * (0.5 + least):.0f} % do and the interval of the share,"
        f" {share.low:.2f} to {share.high:.2f} (99 %, {over}), lies above one half."
        if n
        else ""
    )
    return _base(
        study,
        claim,
        solved,
        measure="share of solved networks that carry at the end, beyond one half",
        values=(solved["value"].tolist(), others["value"].tolist()),
        difference=effect if n else NO_ESTIMATE,
        least=least,
        verdict=MIXED if word == TOO_SMALL else word,
        text=text,
        why=why if word == NOT_DECIDED else "",
    )


def _others(carry: pd.Series) -> str:
    """How many of the networks that did not solve their task carry all the same."""
    if len(carry) and carry.all():
        of = f"all of the other {len(carry)}" if len(carry) > 1 else "the other one"
        return f"; so do{'es' if len(carry) == 1 else ''} {of}, so that it tells nothing apart"
    return f"; {int(carry.sum())} of the other {len(carry)} do" if len(carry) else ""


def relative(claim: JudgedClaim) -> tuple[float, float, float]:
    """Effect and interval in units of the smallest difference that matters; NaN if that is 0."""
    scale = claim.least or math.nan
    return (
        claim.difference.value / scale,
        claim.difference.low / scale,
        claim.difference.high / scale,
    )
