"""A finding: subject, measure, effect with interval, n, points, rule, strength, scope.

Sentences, tables, the claims, `check`, and report.json are all made of findings, so that two
places that mean the same cannot differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reports.statistics import NO_ESTIMATE, Estimate

HOLDS = "holds"
OPPOSITE = "opposite"
TOO_SMALL = "too small to matter"
NOT_DECIDED = "not decided"
MIXED = "mixed"
NOT_TESTABLE = "not testable"
STRENGTHS = (HOLDS, OPPOSITE, TOO_SMALL, MIXED, NOT_DECIDED, NOT_TESTABLE)
SYMBOLS = {
    HOLDS: "✓",
    OPPOSITE: "✕",
    TOO_SMALL: "≈",
    MIXED: "◇",
    NOT_DECIDED: "?",
    NOT_TESTABLE: "–",
}
DECIDED = (HOLDS, OPPOSITE, TOO_SMALL)
MORE, NO_LESS = "more", "no less"  # directions in which a finding may be stated


@dataclass(frozen=True)
class Finding:
    """What a study says on one question.

    `kind`: claim, effect, interaction, association, recommendation, selection or count, which has
    no strength (""). `effect` is positive in the direction in which the question is asked. `least`:
    smallest effect that matters; `rule`: what decides `strength`; `scope`: where it was found;
    `why`: what keeps it from being decided, and what would decide it; `points`: ids it rests on;
    `within`: the same at each level of a factor, by "factor=level".
    """

    kind: str
    subject: str
    measure: str
    strength: str
    effect: Estimate = NO_ESTIMATE
    least: float = 0.0
    rule: str = ""
    scope: str = ""
    why: str = ""
    sentence: str = ""
    points: Sequence[str] = ()
    within: Mapping[str, Finding] = field(default_factory=dict)

    @property
    def here(self) -> str:
        """The strength with its scope in brief: holds here."""
        return f"{self.strength} here"


def strength(effect: Estimate, least: float, direction: str = MORE) -> str:
    """The strength of an effect, positive in the claimed direction.

    More: it holds if the interval lies above 0 and the effect is at least `least`; the opposite
    holds if the interval lies below 0 and the effect is at most −`least`; it is too small to matter
    if the whole interval lies within ±`least` (two one-sided tests; Schuirmann 1987). No less: it
    holds if the interval lies above −`least`, the opposite if it lies below. Else it is not
    decided, as without an interval.
    """
    if not (math.isfinite(effect.low) and math.isfinite(effect.high)):
        return NOT_DECIDED
    if direction == NO_LESS:
        if effect.low > -least:
            return HOLDS
        return OPPOSITE if effect.high < -least else NOT_DECIDED
    if effect.low > 0 and effect.value >= least:
        return HOLDS
    if effect.high < 0 and effect.value <= -least:
        return OPPOSITE
    return TOO_SMALL if -least < effect.low and effect.high < least else NOT_DECIDED


def combined(words: Sequence[str]) -> str:
    """The strength of a statement about every part, from those of the parts.

    Mixed if parts are decided differently; decided only if all are, and alike.
    """
    decided = {word for word in words if word in DECIDED}
    if len(decided) > 1:
        return MIXED
    return words[0] if words and len(set(words)) == 1 else NOT_DECIDED


def depending(words: Sequence[str], whole: str) -> str:
    """The strength of a statement whose effect is shown to depend on a factor with these parts.

    Mixed unless all parts are alike: an average over parts that differ says nothing of any. If no
    part is decided, neither is the whole.
    """
    if len(set(words)) > 1:
        return MIXED if set(words) & set(DECIDED) else NOT_DECIDED
    return words[0] if words else whole
