"""The form of a claim and of a planned contrast, as studies declare them and as the ledger
(conf/claim) keeps them. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from study.records import CLAIMED_BY, StudyError

DIRECTIONS = ("more", "no less")
# of a factor's levels, where the levels are numbers and studies differ in them
EXTREMES = ("smallest", "largest")
TOLD = ("auc_D_init", "auc_D")  # compare no two sides: whether a number tells solved from unsolved

FORM = (
    "{statement: …, when: {key: level}, better: {key: level}, worse: {key: level}, by: score,"
    " least: .02}"
)
OPTIONAL = frozenset({"when", "source", "direction", "each", "lag"})
CONTRAST = "{name: …, when: {key: level}, first: {key: level}, second: {key: level}, by: score}"


def check_claim(claim: Any, where: str) -> None:
    """Form and measure of one claim. Raises StudyError that begins with `where`."""
    if not isinstance(claim, Mapping):
        raise StudyError(f"{where}: each entry is {FORM} (when may be left out), got {claim!r}")
    asked = {"statement", "by", "least"} | (
        set() if claim.get("by") in TOLD else {"better", "worse"}
    )
    if set(claim) - OPTIONAL != asked:
        raise StudyError(
            f"{where}: each entry is {FORM} (when, source, direction, each and lag may be left"
            f" out), got {dict(claim)!r}"
        )
    if claim["by"] not in CLAIMED_BY:
        raise StudyError(f"{where}: by must be {', '.join(CLAIMED_BY)}, got {claim['by']!r}")
    if not _number(claim["least"]) or claim["least"] < 0:
        raise StudyError(f"{where}: least must be a number of at least 0, got {claim['least']!r}")
    if claim.get("direction", DIRECTIONS[0]) not in DIRECTIONS:
        raise StudyError(
            f"{where}: direction must be {' or '.join(DIRECTIONS)}, got {claim['direction']!r}"
        )
    if claim.get("direction") == "no less" and claim["least"] == 0:
        raise StudyError(
            f"{where}: direction no less needs a least above 0: equal to the last digit is never"
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
    """Form and measure of one planned contrast. Raises StudyError that begins with `where`."""
    if not isinstance(contrast, Mapping) or set(contrast) - {"when"} != {
        "name",
        "first",
        "second",
        "by",
    }:
        raise StudyError(
            f"{where}: each entry is {CONTRAST} (when may be left out), got {contrast!r}"
        )
    compared = tuple(name for name in CLAIMED_BY if name not in TOLD and name != "ranking")
    if contrast["by"] not in compared:
        raise StudyError(f"{where}: by must be {', '.join(compared)}, got {contrast['by']!r}")
    for when in sides(contrast):
        if not isinstance(when, Mapping):
            raise StudyError(f"{where}: when, first and second are {{key: level}}, got {when!r}")


def sides(of: Mapping[str, Any]) -> list[Any]:
    """The combinations that a claim or a contrast names."""
    return [
        of.get("when", {}),
        *(of[side] for side in ("better", "worse", "first", "second") if side in of),
    ]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
