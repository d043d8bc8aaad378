"""Checks claims and planned contrasts, as declared by studies and by the ledger (conf/claim).

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from study.records import CLAIMED_BY, StudyError

DIRECTIONS = ("more", "no less")
# stand for levels that are numbers and differ between studies
EXTREMES = ("smallest", "largest")
# measures without sides: how well a number separates solved from unsolved points
PREDICTORS = ("auc_D_init", "auc_D")
# measure without sides: how many of the networks that solved their task carry at the end
SHARE_OF_SOLVED = "carry_if_solved"

FORM = (
    "{statement: …, when: {key: level}, better: {key: level}, worse: {key: level}, by: score,"
    " least: .02}"
)
TEXTS = ("formula", "means")  # what the claim says in a formula, and that in words
OPTIONAL = frozenset({"when", "source", "direction", "each", "lag", *TEXTS})
CONTRAST = "{name: …, when: {key: level}, first: {key: level}, second: {key: level}, by: score}"


def check_claim(claim: Any, where: str) -> None:
    """Check the form and measure of one claim; the StudyError starts with `where`."""
    if not isinstance(claim, Mapping):
        raise StudyError(f"{where}: each entry is {FORM} (when may be left out), got {claim!r}")
    required = {"statement", "by", "least"} | (
        set() if claim.get("by") in (*PREDICTORS, SHARE_OF_SOLVED) else {"better", "worse"}
    )
    if set(claim) - OPTIONAL != required:
        raise StudyError(
            f"{where}: each entry is {FORM} (when may be left out; source, direction, each, lag,"
            f" formula and means may be added), got {dict(claim)!r}"
        )
    for name in TEXTS:
        if not isinstance(claim.get(name, ""), str):
            raise StudyError(f"{where}: {name} must be a text, got {claim[name]!r}")
    if claim["by"] not in CLAIMED_BY:
        raise StudyError(f"{where}: by must be {', '.join(CLAIMED_BY)}, got {claim['by']!r}")
    if not _number(claim["least"]) or claim["least"] < 0:
        raise StudyError(f"{where}: least must be a number of at least 0, got {claim['least']!r}")
    if claim["by"] == SHARE_OF_SOLVED and not claim["least"] < 0.5:
        raise StudyError(
            f"{where}: least is the share of exceptions that {SHARE_OF_SOLVED} allows, below 0.5,"
            f" got {claim['least']!r}"
        )
    if claim.get("direction", DIRECTIONS[0]) not in DIRECTIONS:
        raise StudyError(
            f"{where}: direction must be {' or '.join(DIRECTIONS)}, got {claim['direction']!r}"
        )
    if claim.get("direction") == "no less" and claim["least"] == 0:
        raise StudyError(
            f"{where}: direction no less needs a least above 0, since exact equality cannot be"
            " shown"
        )
    if not isinstance(claim.get("each", ""), str) or ("lag" in claim and not _number(claim["lag"])):
        raise StudyError(
            f"{where}: each must be the name of a factor and lag a number of steps, got"
            f" {claim.get('each')!r} and {claim.get('lag')!r}"
        )
    for when in sides(claim):
        if not isinstance(when, Mapping):
            raise StudyError(f"{where}: when, better and worse are {{key: level}}, got {when!r}")


def check_contrast(contrast: Any, where: str) -> None:
    """Check the form and measure of one planned contrast; the StudyError starts with `where`."""
    if not isinstance(contrast, Mapping) or set(contrast) - {"when"} != {
        "name",
        "first",
        "second",
        "by",
    }:
        raise StudyError(
            f"{where}: each entry is {CONTRAST} (when may be left out), got {contrast!r}"
        )
    without_sides = (*PREDICTORS, SHARE_OF_SOLVED, "ranking")
    compared = tuple(name for name in CLAIMED_BY if name not in without_sides)
    if contrast["by"] not in compared:
        raise StudyError(f"{where}: by must be {', '.join(compared)}, got {contrast['by']!r}")
    for when in sides(contrast):
        if not isinstance(when, Mapping):
            raise StudyError(f"{where}: when, first and second are {{key: level}}, got {when!r}")


def sides(claim: Mapping[str, Any]) -> list[Any]:
    """The combinations of levels that a claim or contrast names."""
    return [
        claim.get("when", {}),
        *(claim[side] for side in ("better", "worse", "first", "second") if side in claim),
    ]


def named(claim: Mapping[str, Any]) -> str:
    """A claim or contrast as messages call it."""
    return repr(claim["statement"] if "statement" in claim else claim["name"])


def same_level(one: Any, other: Any) -> bool:
    """Whether two levels are the same text, or the same number (1 and 1.0)."""
    if str(one) == str(other):
        return True
    try:
        return float(str(one)) == float(str(other))
    except ValueError:
        return False


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
