"""Whether a study can decide a claim: its factors, levels, and the lag that the claim needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.analysis.comparison import as_numbers, has_levels, match, side_words
from reports.analysis.measures import MEASURES, measured
from reports.analysis.scope import asked_lag
from reports.data.study import Study
from reports.formatting import levels, listing
from study.design.claims import EXTREMES, PREDICTORS, SHARE_OF_SOLVED, same_level

NEED_RULE = ("solved", "time", "carry_if_solved", "auc_D_init", "auc_D")


def why_not_testable(study: Study, claim: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The claim restricted to the tasks that ask for its lag, and why the study cannot decide it.

    "" if it can.
    """
    claim, why = _with_lag(study, claim)
    if claim["by"] in NEED_RULE and not study.has_rule(study.stored).any() and len(study.stored):
        return claim, "the task has no rule for solved"
    if study.adopted and claim["by"] in (*PREDICTORS, SHARE_OF_SOLVED):
        return claim, "the remaining gradient was not recorded"
    if why or "better" not in claim:
        return claim, why
    for key in dict.fromkeys([*claim["better"], *claim["worse"]]):
        if key not in study.factors:
            fixed = study.constant.get(key)
            return claim, f"{key} does not vary" + (
                f" (it is {fixed})" if fixed is not None else ""
            )
    by = "score" if claim["by"] == "ranking" else str(claim["by"])
    why = _levels(study, claim)
    if not why and study.adopted and measured(study, by).empty:
        why = f"{MEASURES[by].text} was not recorded"
    if why:
        return claim, why
    compared = match(
        study, measured(study, by), claim["better"], claim["worse"], claim.get("when", {})
    )
    return claim, "" if compared.blocks else _unmatched(study, claim)


def _unmatched(study: Study, claim: Mapping[str, Any]) -> str:
    """Why no arms match: a side without points, or sides that differ in more."""
    points = study.stored
    for side in (claim["better"], claim["worse"]):
        if not has_levels(study, points, {**claim.get("when", {}), **side}).any():
            return f"there is no network yet on {levels(side_words(side))}"
    return "no two stored recipes differ in this alone"


def _with_lag(study: Study, claim: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The claim where its lag is asked for: tasks, and lengths if a factor sets them."""
    if "lag" not in claim:
        return claim, ""
    needed, when = float(claim["lag"]), dict(claim.get("when", {}))
    points = study.stored
    if points.empty:
        return claim, ""
    longest = asked_lag(study, points)
    if longest < needed:
        if study.adopted and not longest:
            return claim, f"it is about lags of {needed:g} steps or more, and no lag was recorded"
        return (
            claim,
            f"it is about lags of {needed:g} steps or more, and the task asks for {longest}",
        )
    for key in ["task", *(key for key in study.factors if key.startswith("task."))]:
        if key not in study.factors or key in when:
            continue
        long = [
            name
            for name in study.levels(key)
            if asked_lag(study, points[points[key] == name]) >= needed
        ]
        if len(long) < len(study.levels(key)):
            when[key] = long
    return {**claim, "when": when} if when else claim, ""


def _levels(study: Study, claim: Mapping[str, Any]) -> str:
    for side in (claim["better"], claim["worse"]):
        for key, level in side.items():
            wanted = [str(one) for one in (level if isinstance(level, list) else [level])]
            if set(wanted) & set(EXTREMES):
                if not as_numbers(study.factors[key]):
                    return f"levels of {key} are not numbers"
            elif not any(same_level(one, own) for one in wanted for own in study.factors[key]):
                return f"{key} has no level {' or '.join(wanted)}"
    for key, level in claim.get("when", {}).items():
        named = [str(one) for one in (level if isinstance(level, list) else [level])]
        here = study.factors.get(key) or [str(study.constant.get(key, "not known"))]
        if not any(same_level(one, own) for one in named for own in here):
            return f"{key} is {listing(here)} here"
    return ""
