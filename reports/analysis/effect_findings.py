"""Main effects and two-way interactions on the score as findings."""

from __future__ import annotations

from collections.abc import Mapping

from reports.analysis.arms import with_counted
from reports.analysis.effect_words import (
    IN_RESULTS,
    average_words,
    confounded_words,
    interaction_words,
    measure_text,
    results_alone,
    reversed_words,
)
from reports.analysis.effects import Dependence, Effect, main_effects, read
from reports.analysis.terms_shown import Decided, ShownTerm, TermsShown, corrected_p, terms_shown
from reports.data.study import Study
from reports.findings.finding import HOLDS, MIXED, NOT_DECIDED, NOT_TESTABLE, Finding
from reports.statistics import NO_ESTIMATE

RULE = "Holm's correction of permutation tests of all main effects and two-way interactions, .05"


def effect_findings(study: Study) -> list[Finding]:
    """One finding per main effect, better minus worse, and per interaction, its share of variance.

    A main effect that an interaction reverses is mixed, and has no average.
    """
    found = terms_shown(study, "score")
    if found is None:
        return []
    points = with_counted(study)
    ids = tuple(str(id) for id in study.for_listing(points)["id"])
    effects = {one.factor: one for one in main_effects(study, points)}
    return [
        _effect(study, found, one, effects.get(one.factors[0]), ids)
        if len(one.factors) == 1
        else _interaction(study, one, ids)
        for one in found.terms
    ]


def _effect(
    study: Study, found: TermsShown, term: ShownTerm, one: Effect | None, ids: tuple[str, ...]
) -> Finding:
    measure, why = measure_text(study, "score"), _why(term.decided)
    confounding = found.confounding(term.name)
    if confounding:
        why = confounded_words(term.name, confounding)
    if one is not None and one.reversed_by:
        side = one.reversed_by[0]
        return Finding(
            "effect",
            term.name,
            measure,
            MIXED,
            NO_ESTIMATE,
            rule=RULE,
            why=f"it depends on {side.partner}",
            sentence=f"{reversed_words(one.reversed_by, 'score')}.",
            points=ids,
            within=_within(side, measure),
        )
    effect = one.difference if one is not None else NO_ESTIMATE
    text, alone = "", one is not None and results_alone(one)
    if one is not None:
        text = average_words(one)
    if alone:
        why = f"its levels are shown to differ {IN_RESULTS}"
    return Finding(
        "effect",
        term.name,
        measure,
        NOT_DECIDED if alone else _strength(term.decided),
        effect,
        rule=RULE,
        why=why,
        sentence=f"Averaged over everything else: {text}." if text else "",
        points=ids,
    )


def _interaction(study: Study, term: ShownTerm, ids: tuple[str, ...]) -> Finding:
    measure = f"share of the variance of {measure_text(study, 'score')}"
    side = read(study, "score", term) if term.shown else None
    return Finding(
        "interaction",
        term.name,
        measure,
        _strength(term.decided),
        term.share,
        rule=RULE,
        why=_why(term.decided),
        sentence=interaction_words(study, "score", term, side) if side else "",
        points=ids,
        within=_within(side, measure_text(study, "score")) if side else {},
    )


def _within(side: Dependence, measure: str) -> Mapping[str, Finding]:
    return {
        f"{side.partner}={one.at}": Finding(
            "effect",
            f"{side.factor}: {one.better} over {one.worse}",
            measure,
            HOLDS if one.shown else NOT_DECIDED,
            one.difference,
        )
        for one in side.by_level
    }


def _strength(decided: Decided) -> str:
    if not decided.testable:
        return NOT_TESTABLE
    return HOLDS if decided.shown else NOT_DECIDED


def _why(decided: Decided) -> str:
    if not decided.testable:
        return "no two recipes differ in this alone, or one seed per recipe"
    return "" if decided.shown else f"corrected p {corrected_p(decided)}"
