"""Checks that claims and contrasts name keys and levels that a study has.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from study.design.claims import (
    CONTRAST,
    EXTREMES,
    FORM,
    check_claim,
    check_contrast,
    named,
    same_level,
    sides,
)
from study.records import StudyError


def check_comparisons(study: Mapping[str, Any], labels: Mapping[str, Any]) -> None:
    """Check form and measure of `study.claims` and `study.contrasts`.

    Every key they name must be among `labels`, those of any combination.
    """
    for which, form, check in (
        ("claims", FORM, check_claim),
        ("contrasts", CONTRAST, check_contrast),
    ):
        if not isinstance(study[which], list):
            raise StudyError(f"study.{which}: must be a list of {form}, got {study[which]!r}")
        for one in study[which]:
            check(one, f"study.{which}")
            for when in sides(one):
                matches(labels, when, f"study.{which}", f", in {named(one)}")


def check_named_levels(study: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> None:
    """Check that claims and contrasts name levels that some combination of the plan has.

    `arms`: labels of the combinations. 1 and 1.0 are one level; the extremes stand for levels of a
    factor whose levels are numbers. A ledger's claims may name others: they are not judged here.
    """
    for which in ("claims", "contrasts"):
        for one in study[which]:
            for key, wanted in (pair for when in sides(one) for pair in when.items()):
                there = list(dict.fromkeys(labels[key] for labels in arms))
                extremes = EXTREMES if all(_is_number(level) for level in there) else ()
                for level in wanted if isinstance(wanted, list) else [wanted]:
                    if level not in extremes and not any(same_level(level, own) for own in there):
                        raise StudyError(
                            f"study.{which}: {key} has the levels"
                            f" {', '.join(map(str, (*there, *extremes)))} in this plan, got"
                            f" {level!r} in {named(one)}. Leave it out, or change study.{which}"
                        )


def _is_number(level: Any) -> bool:
    try:
        float(str(level))
    except ValueError:
        return False
    return True


def matches(
    labels: Mapping[str, Any], when: Mapping[str, Any], where: str, whose: str = ""
) -> bool:
    """Whether a combination with these labels has the levels in `when`; a list is any of them.

    The StudyError for a key that is not there starts with `where` and ends with `whose`.
    """
    for key in when:
        if key not in labels:
            raise StudyError(
                f"{where}: when names {key!r}, which this study does not have; it has"
                f" {', '.join(labels)}{whose}"
            )
    wanted = {key: value if isinstance(value, list) else [value] for key, value in when.items()}
    return all(
        any(labels[key] == value or str(labels[key]) == str(value) for value in values)
        for key, values in wanted.items()
    )
