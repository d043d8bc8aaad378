"""A claim with what was found: the value that sections, findings and words are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from reports.analysis.comparison import extreme, side_words
from reports.analysis.measures import MEASURES
from reports.analysis.scope import length_words, scope_words
from reports.data.study import Study
from reports.findings.finding import MORE
from reports.formatting import level as level_words
from reports.statistics import NO_ESTIMATE, Estimate
from study.design.claims import same_level

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
    why: str = ""  # it cannot be decided there

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
    `length`: of the task, for "here"; `formula` and what it `means`: as declared, for a lesson.
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
    formula: str = ""
    means: str = ""

    @property
    def share(self) -> bool:
        return self.by in MEASURES and MEASURES[self.by].share


def claim_of(
    study: Study, claim: Mapping[str, Any], points: pd.DataFrame, **found: Any
) -> JudgedClaim:
    """The parts of a judged claim that do not depend on how it is judged."""
    texts = [side_here(study, claim.get(side, {})) for side in ("better", "worse")]
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
        formula=str(claim.get("formula", "")),
        means=str(claim.get("means", "")),
        better=texts[0],
        worse=texts[1],
        **{**known, **found},
    )


def side_here(study: Study, side: Mapping[str, Any]) -> dict[str, str]:
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


def relative(claim: JudgedClaim) -> tuple[float, float, float]:
    """Effect and interval in units of the smallest difference that matters; NaN if that is 0."""
    scale = claim.least or math.nan
    return (
        claim.difference.value / scale,
        claim.difference.low / scale,
        claim.difference.high / scale,
    )
