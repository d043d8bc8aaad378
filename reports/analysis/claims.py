"""Judges claims: a statement, and the contrast that would show it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from reports.analysis.comparison import (
    Comparison,
    difference,
    has_interval,
    has_levels,
    match,
    side_words,
    with_sign,
)
from reports.analysis.measures import MEASURES, measured, sign
from reports.analysis.prediction import at_share, prediction
from reports.data.study import Study
from reports.formatting import levels
from reports.statistics import NO_ESTIMATE, Estimate
from study.design.ranking import best_first

SUPPORTED, REFUTED, INCONCLUSIVE = "supported", "refuted", "inconclusive"
DRAWS = 1000  # of the bootstrap over arms, for claims about prediction


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with what was found.

    `difference`: better minus worse (positive supports the claim); `values`: of each side;
    `rests_on`: ids of points; `each`: the same within every level of the factor that the claim
    names; `text`: replaces the sides of a claim that has none.
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
    each: Mapping[str, JudgedClaim] = field(default_factory=dict)
    text: str = ""

    @property
    def share(self) -> bool:
        return self.by in MEASURES and MEASURES[self.by].share


def judge(
    study: Study, claim: Mapping[str, Any], *, unit: float = 1.0, level: float = 0.95
) -> JudgedClaim:
    """Judge a claim: better against worse over arms alike in everything else, where `when` holds.

    Direction more: supported if the interval lies above 0 and the difference is at least `least`;
    refuted if the interval lies below `least`. Direction no less: supported if the interval lies
    above −least; refuted if it lies below. Otherwise inconclusive. With `each`: supported if every
    level supports it; refuted if one level refutes it, at a level corrected for their number.
    `unit`: of `least`, in the task's metric.
    """
    if claim["by"] in ("auc_D_init", "auc_D"):
        return _prediction(study, claim)
    if claim["by"] == "ranking":
        return _ranking(study, claim, unit)
    names = study.levels(str(claim["each"])) if claim.get("each") in study.factors else []
    whole = _contrast(study, claim, unit, level)
    if not names:
        return whole
    key = str(claim["each"])
    within = {}
    for name in names:
        one = _contrast(
            study,
            {**claim, "when": {**claim.get("when", {}), key: name}},
            unit,
            1 - (1 - level) / len(names),
        )
        if len(one.values[0]) and len(one.values[1]):
            within[name] = one
    words = [one.verdict for one in within.values()]
    verdict = (
        REFUTED
        if REFUTED in words
        else SUPPORTED
        if words and set(words) == {SUPPORTED}
        else INCONCLUSIVE
    )
    return JudgedClaim(**{**vars(whole), "verdict": verdict, "each": within})


def comparison_of(study: Study, claim: Mapping[str, Any]) -> Comparison:
    return match(
        study,
        measured(study, str(claim["by"])),
        claim["better"],
        claim["worse"],
        claim.get("when", {}),
    )


def _contrast(study: Study, claim: Mapping[str, Any], unit: float, level: float) -> JudgedClaim:
    by = str(claim["by"])
    measure, compared = MEASURES[by], comparison_of(study, claim)
    found = (
        difference(study, compared, share=measure.share, scored=by == "score", level=level)
        if compared.blocks
        else NO_ESTIMATE
    )
    least = float(claim["least"]) * (unit if measure.in_metric else 1.0)
    found = with_sign(found, sign(study, by))
    direction = str(claim.get("direction", "more"))
    texts = [side_words(claim[side]) for side in ("better", "worse")]
    values = (
        (compared.values(compared.first), compared.values(compared.second))
        if compared.blocks
        else _unmatched(study, claim)
    )
    return JudgedClaim(
        str(claim["statement"]),
        str(claim.get("source", "")),
        by,
        measure.text,
        texts[0],
        texts[1],
        values,
        found,
        least,
        direction,
        verdict(found, least, direction),
        _ids(compared.points),
    )


def _unmatched(study: Study, claim: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Values of the two sides if none of their arms match."""
    points = measured(study, str(claim["by"]))
    first, second = (
        points.loc[
            has_levels(study, points, {**claim.get("when", {}), **claim[side]}), "value"
        ].tolist()
        for side in ("better", "worse")
    )
    return first, second


def _ids(points: pd.DataFrame) -> tuple[str, ...]:
    return tuple(str(id) for id in points["id"])


def verdict(difference: Estimate, least: float, direction: str) -> str:
    if not has_interval(difference):
        return INCONCLUSIVE
    if direction == "no less":
        return (
            SUPPORTED
            if difference.low > -least
            else REFUTED
            if difference.high < -least
            else INCONCLUSIVE
        )
    if difference.low > 0 and difference.value >= least:
        return SUPPORTED
    return REFUTED if difference.high < least else INCONCLUSIVE


def _ranking(study: Study, claim: Mapping[str, Any], unit: float) -> JudgedClaim:
    """Whether the arms rank differently on the two sides: the best on one side loses on the other.

    Let a and b be the best arms (by validation) on each side. The effect is the smaller of a's lead
    over b where a won and b's lead over a where b won; its interval has the smaller ends, so that
    both leads must hold (intersection–union; Berger 1982). If one arm wins on both sides, the
    effect is its smaller lead over the runners-up, counted against the claim.
    """
    points = measured(study, "score")
    compared = match(study, points, claim["better"], claim["worse"], claim.get("when", {}))
    shared = [key for key in study.factors if key not in {*claim["better"], *claim["worse"]}]
    names = {
        int(row["arm"]): levels({key: row[key] for key in shared})
        for _, row in study.arms.iterrows()
    }
    found, text = NO_ESTIMATE, "There are fewer than two arms to rank."
    if len(compared.blocks) > 1:
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
            f"{a} and {b}, by {lead_a.value:.3f} and {lead_b.value:.3f} over each other"
            if a != b
            else f"{a}, on both sides"
        )
        text = f"The best by validation: {won}."
    least = float(claim["least"]) * unit
    texts = [side_words(claim[side]) for side in ("better", "worse")]
    return JudgedClaim(
        str(claim["statement"]),
        str(claim.get("source", "")),
        "ranking",
        "lead that changes sides",
        texts[0],
        texts[1],
        (compared.values(compared.first), compared.values(compared.second)),
        found,
        least,
        "more",
        verdict(found, least, "more"),
        _ids(compared.points),
        {},
        text,
    )


def _best_two(
    study: Study, points: pd.DataFrame, arms: Sequence[int], names: Mapping[int, str]
) -> tuple[str, str, dict[str, int]]:
    """Names of the two best arms by validation, and all arms by name."""
    order = best_first(points[points["arm"].isin(arms)], higher_is_better=study.higher_is_better)
    return names[order[0]], names[order[1]], {names[arm]: arm for arm in order}


def _lead(study: Study, points: pd.DataFrame, one: int, other: int) -> Estimate:
    pair = Comparison(
        points[points["arm"].isin([one, other])], {one: 1.0, other: -1.0}, [([one], [other])]
    )
    return with_sign(difference(study, pair, share=False, scored=True), sign(study, "score"))


def _prediction(study: Study, claim: Mapping[str, Any]) -> JudgedClaim:
    """Whether D separates solved from unsolved points: AUC − .5, by a bootstrap over arms."""
    by, points = str(claim["by"]), measured(study, "solved")
    D = at_share(study, 0.0 if by == "auc_D_init" else 1.0)
    auc = prediction(study, points, D, DRAWS).auc
    found = Estimate(auc.value - 0.5, auc.low - 0.5, auc.high - 0.5, auc.n)
    least, direction = float(claim["least"]), str(claim.get("direction", "more"))
    solved = [float(value) for value in points["value"]]
    values = ([value for value in solved if value == 1], [value for value in solved if value == 0])
    text = (
        f"AUC {auc.value:.2f} over {auc.n} points."
        if np.isfinite(auc.value)
        else "Every judged point solved the task, or none did."
    )
    measure = (
        f"AUC − .5 of D {'at initialization' if by == 'auc_D_init' else 'at the end'} for solved"
    )
    return JudgedClaim(
        str(claim["statement"]),
        str(claim.get("source", "")),
        by,
        measure,
        {},
        {},
        values,
        found,
        least,
        direction,
        verdict(found, least, direction),
        _ids(points),
        {},
        text,
    )


def relative(claim: JudgedClaim) -> tuple[float, float, float]:
    """Effect and interval in units of the smallest difference that matters; NaN if that is 0."""
    scale = claim.least or math.nan
    return (
        claim.difference.value / scale,
        claim.difference.low / scale,
        claim.difference.high / scale,
    )
