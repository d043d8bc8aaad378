"""Judges claims that compare no two sides: what ranks first, what goes with what, all or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports.analysis.associations import association, association_words, at_share
from reports.analysis.comparison import Comparison, difference, has_levels, match, with_sign
from reports.analysis.judged_claim import DRAWS, LEVEL, JudgedClaim, claim_of, side_here
from reports.analysis.measures import measured, sign
from reports.analysis.occurrence import nothing_to_decide
from reports.data.study import Study
from reports.findings.finding import MIXED, MORE, NOT_DECIDED, TOO_SMALL, strength
from reports.formatting import decimals, levels, number
from reports.statistics import NO_ESTIMATE, Estimate, share_over_arms
from study.design.outcomes import solved_at_end
from study.design.ranking import best_first, ranking

MANY = 1000  # times as many networks, as good as any number of them


def judge_ranking(study: Study, claim: Mapping[str, Any], unit: float) -> JudgedClaim:
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
    why = "there are fewer than two recipes to rank"
    idle = [
        side
        for side, arms in (("better", compared.first), ("worse", compared.second))
        if not _learned(study, points, arms)
    ]
    if len(compared.blocks) > 1 and idle:
        sides = " and with ".join(levels(side_here(study, claim[side])) for side in idle)
        why = f"with {sides} no recipe learned anything that it could be ranked by"
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
        word, why = NOT_DECIDED, "the best recipes are too close to be ranked"
    return claim_of(
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


def judge_association(study: Study, claim: Mapping[str, Any]) -> JudgedClaim:
    """Whether D separates solved from unsolved points, within the levels of every factor."""
    least, direction = float(claim["least"]), str(claim.get("direction", MORE))
    points = measured(study, "solved")
    points = points[has_levels(study, points, claim.get("when", {}))]
    found = association(study, points, at_share(study, float(claim["by"] == "auc_D")), DRAWS)
    word, effect, why = found.judged(least, direction)
    solved = points["value"].tolist()
    measure = (
        "AUC − .5 of the remaining gradient"
        f" {'at initialization' if claim['by'] == 'auc_D_init' else 'at the end'} for solved"
    )
    return claim_of(
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


def judge_all_or_none(study: Study, claim: Mapping[str, Any]) -> JudgedClaim:
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
    over = "over recipes" if solved["arm"].nunique() > 1 else "over networks"
    effect = Estimate(share.value - 0.5, share.low - 0.5, share.high - 0.5, n)
    least = 0.5 - float(claim["least"])
    word, why = NOT_DECIDED, "no network solved its task at the end"
    if n:
        word = strength(effect, least)
        why = _what_would_decide(solved, least)
    text = (
        f"{carrying} of {n} that solved their task carry at the end{_others(others['value'])}. It"
        f" holds if at least {100 * (0.5 + least):.0f} % do and the interval of the share,"
        f" {share.low:.2f} to {share.high:.2f} (99 %, {over}), lies above one half."
        if n
        else ""
    )
    return claim_of(
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


def _what_would_decide(solved: pd.DataFrame, least: float) -> str:
    """More networks, or only more arms: those of an arm are alike, so that more may not help."""
    hits, arm = (solved[column].to_numpy() for column in ("value", "arm"))
    many = share_over_arms(np.tile(hits, MANY), np.tile(arm, MANY), level=LEVEL)
    then = Estimate(many.value - 0.5, many.low - 0.5, many.high - 0.5, many.n)
    if strength(then, least) != NOT_DECIDED:
        return "more solved networks would decide it"
    return "more recipes would decide it; more seeds of these would not"


def _others(carry: pd.Series) -> str:
    """How many of the networks that did not solve their task carry all the same."""
    if len(carry) and carry.all():
        of = f"all of the other {len(carry)}" if len(carry) > 1 else "the other one"
        return f"; so do{'es' if len(carry) == 1 else ''} {of}, so that it tells nothing apart"
    return f"; {int(carry.sum())} of the other {len(carry)} do" if len(carry) else ""
