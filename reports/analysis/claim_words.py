"""Claims in words: the verdict here, the numbers of both sides, and what would decide it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from reports.analysis.arms import with_interval
from reports.analysis.comparison import Side
from reports.analysis.judged_claim import LEVEL, JudgedClaim
from reports.findings.finding import (
    HOLDS,
    NO_LESS,
    NOT_DECIDED,
    NOT_TESTABLE,
    OPPOSITE,
    SYMBOLS,
    TOO_SMALL,
)
from reports.formatting import (
    decimals,
    decimals_of,
    interval,
    known,
    levels,
    number,
    percent,
    score_number,
)
from reports.statistics import Estimate
from study.design.claims import PREDICTORS, SHARE_OF_SOLVED


def label(one: JudgedClaim) -> str:
    """The verdict with its symbol, here."""
    return f"{SYMBOLS[one.verdict]} {one.verdict} here"


def sentence(one: JudgedClaim) -> str:
    """A claim with its verdict, numbers, and what would decide it.

    For example: Clipping mends explosion: holds here (T = 64). Lost: 0 of 3 with clip norm, 3 of 3
    with clip none …
    """
    where = f" ({one.length})" if one.length else ""
    found = f"{one.statement.rstrip('.')}: {one.verdict} here{where}"
    found += f", as {one.why}." if one.verdict == NOT_TESTABLE else "."
    why = f" {one.why[0].upper()}{one.why[1:]}." if one.verdict == NOT_DECIDED and one.why else ""
    if one.verdict == NOT_TESTABLE:
        return found
    if one.text or not one.better:
        effect = (
            "" if one.by == SHARE_OF_SOLVED or not known(one.difference.value) else _effect(one)
        )
        return " ".join(text for text in (found, one.text, effect, why.strip()) if text)
    measure = f"{one.measure[0].upper()}{one.measure[1:]}"
    return (
        f"{found} {measure}: {side_values(one, 0)} with {levels(one.better)}, {side_values(one, 1)}"
        f" with {levels(one.worse)} (in the claim's favour: {_signed(one)}).{_parts(one)}"
        f"{_better_than_claimed(one)}{why}"
    )


def _parts(one: JudgedClaim) -> str:
    """The claim level by level, where it is judged so."""
    if not one.parts:
        return ""
    words = {HOLDS: "yes", OPPOSITE: "no, the opposite"}
    listed = "; ".join(
        f"{part.name} {words.get(part.strength, part.strength)}"
        f" ({with_interval(part.effect, sign=True)}{f'; {part.why}' if part.why else ''})"
        for part in one.parts
    )
    level = f"{percent(LEVEL)} for all levels at once"
    return f" By {one.parts[0].factor} ({level}): {listed}."


def _better_than_claimed(one: JudgedClaim) -> str:
    """Of a claim of "no less" that is more than that."""
    more = one.direction == NO_LESS and one.verdict == HOLDS and one.difference.low > 0
    return " It is more than claimed: better here." if more else ""


def _effect(one: JudgedClaim) -> str:
    """What was found, of a claim that compares no two sides."""
    if one.by not in PREDICTORS:
        found = with_interval(one.difference, 3, sign=True)
        return f"In the claim's favour: {found}; {score_number(one.least, 3)} would matter."
    away = one.difference
    half = Estimate(0.5 + away.value, 0.5 + away.low, 0.5 + away.high, away.n)
    least = "" if not one.least else f"; {0.5 + one.least:.2f} would matter"
    return f"Its weakest part, by the interval: AUC {with_interval(half, 2)}{least}."


def _signed(one: JudgedClaim) -> str:
    """The difference, positive where it supports the claim, with its interval and its level."""
    digits = _digits(one)
    value = number(one.difference.value, digits, sign=True)
    if not known(one.difference.low):
        return f"{value}, no interval"
    ends = interval(one.difference.low, one.difference.high, digits)
    return f"{value}, {percent(LEVEL)} interval {ends}"


def _digits(one: JudgedClaim) -> int:
    """Decimals that show the difference, its interval, and the smallest difference that matters."""
    ends = one.difference
    own = decimals_of(ends.value, ends.low, ends.high)
    return max(own, decimals(0.0, one.least)) if one.least else own


def side_values(one: JudgedClaim, which: int) -> str:
    """A side's mean, arms weighing as in the effect; or how many of how many, and the share."""
    values = one.values[which]
    if not len(values):
        return "no network"
    if one.share:
        return f"{int(sum(values))} of {len(values)} ({_shares(values)})"
    mean, sd = _mean_and_sd(values)
    digits = decimals(mean, sd)
    spread = f"sd {number(sd, digits)}, " if len(values) > 1 else ""
    return f"{number(mean, digits)} ({spread}n = {len(values)}{_unmet(one, values)})"


def _shares(values: Sequence[float]) -> str:
    """Of all points; and as the effect weighs them, if that is another number."""
    plain = percent(float(np.mean(values)))
    weighted = percent(values.weighted_share) if isinstance(values, Side) else plain
    return plain if weighted == plain else f"{plain}; {weighted} as the effect weighs them"


def _unmet(one: JudgedClaim, values: Sequence[float]) -> str:
    """How many of a mean time are no time."""
    unmet = values.unmet if isinstance(values, Side) and one.by == "time" else 0
    count = "counts" if unmet == 1 else "count"
    return f"; {unmet} of {len(values)} never met it and {count} as the whole run" if unmet else ""


def _mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    if isinstance(values, Side):
        return values.weighted_mean, values.weighted_sd
    known = np.asarray(values, dtype=float)
    return float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else math.nan


def sides_words(one: JudgedClaim) -> str:
    """The two sides of a claim in numbers, if it has any."""
    if not one.better or not known(one.difference.value):
        return ""
    first, second = (side_values(one, which) for which in (0, 1))
    matters = ""
    if one.least and one.by != "ranking" and one.verdict in (TOO_SMALL, NOT_DECIDED):
        least = f"{percent(one.least)} of networks" if one.share else score_number(one.least)
        matters = f"; a difference of {least} would matter"
    return (
        f" ({one.measure}: {first} with {levels(one.better)}, {second} with"
        f" {levels(one.worse)}{matters})"
    )
