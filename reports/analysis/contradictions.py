"""Findings that cannot both be true: a page with such findings is not rendered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from reports.analysis.arms import summary
from reports.analysis.claim_ledger import all_claims
from reports.analysis.findings import LOST, SOLVED
from reports.analysis.judged_claim import JudgedClaim
from reports.data.study import Study
from reports.findings.finding import HOLDS, NOT_TESTABLE, OPPOSITE, Finding
from study.records import StudyError

SAME = 1e-9  # relative difference below which two numbers are the same


def check_findings(study: Study, every: Sequence[Finding]) -> None:
    """Raise a StudyError that names two findings if they contradict each other."""
    claims = all_claims(study).by_name if len(study.stored) else {}
    found = [
        *twice(every),
        *opposed(claims),
        *(miscounted(study, every) if len(study.stored) else []),
    ]
    if found:
        raise StudyError(
            f"{study.name}: the page would contradict itself, so it is not written. This is an"
            f" error of the report, not of your study: {'; '.join(found)}"
        )


def twice(every: Sequence[Finding]) -> list[str]:
    """Findings on the same subject, measure and scope that differ in effect or strength."""
    seen: dict[tuple[str, ...], Finding] = {}
    wrong = []
    for one in every:
        key = (one.kind, one.subject, one.measure, one.scope)
        other = seen.setdefault(key, one)
        if other is not one and (
            other.strength != one.strength or _differ(other.effect.value, one.effect.value)
        ):
            wrong.append(f"{one.subject}, {one.measure}: {other.strength} and {one.strength}")
    return wrong


def opposed(claims: Mapping[str, JudgedClaim]) -> list[str]:
    """Claims on the same points by the same measure whose words cannot both be true."""
    wrong = []
    testable = [(name, one) for name, one in claims.items() if one.verdict != NOT_TESTABLE]
    for (name, one), (other_name, other) in itertools.combinations(testable, 2):
        if one.by != other.by or not one.better or set(one.rests_on) != set(other.rests_on):
            continue
        same = (dict(one.better), dict(one.worse)) == (dict(other.better), dict(other.worse))
        turned = (dict(one.better), dict(one.worse)) == (dict(other.worse), dict(other.better))
        pair = {one.verdict, other.verdict}
        both_more = one.direction == other.direction == "more"
        if (same and pair == {HOLDS, OPPOSITE} and both_more) or (
            turned and both_more and pair in ({HOLDS}, {OPPOSITE})
        ):
            wrong.append(f"claims {name} ({one.verdict}) and {other_name} ({other.verdict})")
        sign = 1.0 if same else -1.0
        if (same or turned) and _differ(one.difference.value, sign * other.difference.value):
            wrong.append(f"claims {name} and {other_name} differ in the same difference")
    return wrong


def miscounted(study: Study, every: Sequence[Finding]) -> list[str]:
    """Counts of networks that differ from those that the tables by arm add up to."""
    arms = summary(study)
    by_arm = {
        LOST: int(arms["lost"].sum()),
        SOLVED: sum(outcomes.get("solved", 0) for outcomes in arms["outcomes"]),
    }
    counts = {one.measure: one.effect for one in every if one.kind == "count"}
    return [
        f"{measure}: {counts[measure].value * counts[measure].n:.0f} networks, and {number} by"
        " recipe"
        for measure, number in by_arm.items()
        if measure in counts and round(counts[measure].value * counts[measure].n) != number
    ]


def _differ(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) != math.isnan(other)
    return not math.isclose(one, other, rel_tol=SAME, abs_tol=1e-12)
