"""Gradient health against score among networks of the same structure.

Networks of different structure differ in how much they carry and in how well they learn, so that
what differs between structures would otherwise pass for an association (Simpson's paradox).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.analysis.arms import with_counted
from reports.analysis.associations import words
from reports.analysis.pareto import health
from reports.data.study import Study
from reports.formatting import levels, listing
from reports.statistics import Estimate, predict
from study.design.outcomes import solved_at_end

STRUCTURE = ("cell", "depth", "hidden", "readout", "encoder")
MOST = 12  # structures; with more, those factors that come last are not kept apart
DRAWS, SEED = 1000, 2026  # of the bootstrap: the same store gives the same interval
NAMED = 4  # structures in a sentence
HEALTH = "less of the gradient vanishes or explodes on its way back"


@dataclass(frozen=True)
class Structure:
    """Networks alike in `labels`: how their gradient health goes with their score.

    `points`: with column `health` (decades, 0 carries), finite alone; `rho`: Spearman's rank
    correlation, positive where better health goes with a better score, with a bootstrap interval
    over arms that holds for all structures at once (Bonferroni); `solved` of `n` points.
    """

    labels: Mapping[str, str]
    points: pd.DataFrame
    rho: Estimate
    solved: int
    n: int


def structures(study: Study) -> list[Structure]:
    """Every structure that has networks with a gradient health and a score."""
    found: list[Structure] = study.cached("structures", lambda: _structures(study))
    return found


def structure_keys(study: Study) -> list[str]:
    """The factors that make the structure of a network or its task, as many as fit."""
    problem = [key for key in study.factors if key not in study.same_problem]
    keys = [*problem, *(key for key in STRUCTURE if key in study.factors and key not in problem)]
    while keys and len(study.combinations(keys)) > MOST:
        keys.pop()
    return keys


def _structures(study: Study) -> list[Structure]:
    points = study.for_listing(with_counted(study))
    points = points.assign(health=health(points))
    points = points[np.isfinite(points["health"]) & points["counted"].notna()]
    parts = []
    for labels in study.combinations(structure_keys(study)):
        own = points
        for key, name in labels.items():
            own = own[own[key] == name]
        if len(own):
            parts.append((labels, own))
    return [
        Structure(
            labels,
            own,
            _rho(study, own, 1 - 0.05 / len(parts)),
            int(solved_at_end(own).sum()),
            len(own),
        )
        for labels, own in parts
    ]


def _rho(study: Study, own: pd.DataFrame, level: float) -> Estimate:
    solved = solved_at_end(own).to_numpy(dtype=bool)
    better = own["counted"].astype(float) * (1.0 if study.higher_is_better else -1.0)
    return predict(
        own["health"].to_numpy(dtype=float),
        solved,
        better.to_numpy(),
        own["arm"].to_numpy(),
        draws=DRAWS,
        seed=SEED,
        level=level,
    ).rho


def structures_words(study: Study) -> str:
    """Where health goes with the score among networks alike in structure, in one sentence."""
    found = structures(study)
    judged = [one for one in found if np.isfinite(one.rho.low)]
    if not judged:
        return ""
    keys = structure_keys(study)
    among = f"Among networks of the same {listing(keys)}, better" if keys else "Better"
    ways = {
        "goes with": [one for one in judged if one.rho.low > 0],
        "goes against": [one for one in judged if one.rho.high < 0],
    }
    text = f"{among} gradient health at the end ({HEALTH})"
    score = f"a better test {study.metric}"
    parts = [f"{way} {score}{_which(own)}" for way, own in ways.items() if own]
    rest = len(judged) - sum(map(len, ways.values()))
    if not parts:
        numbers = listing([_named(one) for one in judged]) if len(judged) <= NAMED else ""
        return f"{text} is not shown to go with {score}{f': {numbers}' if numbers else ''}."
    others = f"the {rest} others" if rest > 1 else "the other one"
    left = f"; for {others} no relation is shown" if rest else ""
    return f"{text} {', and '.join(parts)}{left}."


def _which(own: Sequence[Structure]) -> str:
    if not own[0].labels:
        return f" (rank correlation {words(own[0].rho, apart=0.0)})"
    named = [_named(one) for one in own[:NAMED]]
    more = [f"{len(own) - NAMED} more"] if len(own) > NAMED else []
    return f" for {listing([*named, *more])}"


def _named(one: Structure) -> str:
    found = f"rank correlation {words(one.rho, apart=0.0)}"
    return f"{levels(one.labels)} ({found})" if one.labels else found
