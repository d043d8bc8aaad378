"""Whether transport D goes with success: D at a share of the run against outcome and score.

Networks are compared within the levels of every factor, since what differs between cells would
otherwise pass for an association.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reports.analysis.arms import with_counted
from reports.data.study import Study
from reports.findings.finding import (
    HOLDS,
    MIXED,
    MORE,
    NOT_DECIDED,
    OPPOSITE,
    TOO_SMALL,
    combined,
    strength,
)
from reports.formatting import count, interval, known, level, listing, number
from reports.statistics import NO_ESTIMATE, Estimate, Prediction, predict
from reports.statistics.prediction import SETTLED
from reports.statistics.survival import planned_updates
from reports.statistics.terms import codes
from study.records import NETWORK

SEED = 2026  # of the bootstrap: the same store gives the same interval
MOST = 5  # most levels in a sentence
MOST_LEVELS = 12  # of a factor, within each of which the association is shown
FEWEST = 5  # networks of either outcome, below which an AUC has no interval
FEWEST_PAIRS = 30  # of a solved and an unsolved network that are alike in every factor


@dataclass(frozen=True)
class Association:
    """How D goes with solving the task.

    `pooled`: over all points, which describes and decides nothing; `within`: by factor, of points
    that share its level and their task at one of its settings; `levels`: by factor and level;
    `alike`: of points that share every factor, None if there are too few pairs.
    """

    pooled: Prediction
    within: Mapping[str, Prediction]
    levels: Mapping[str, Mapping[str, Prediction]]
    alike: Prediction | None

    @property
    def parts(self) -> list[Prediction]:
        """What must agree before anything is said."""
        parts = [*self.within.values(), *([self.alike] if self.alike else [])]
        return parts or [self.pooled]

    def judged(self, least: float, direction: str = MORE) -> tuple[str, Estimate, str]:
        """Strength, effect (AUC − .5, of the part with the weakest evidence), why not decided.

        `least`: smallest distance of the AUC from one half that matters. All parts must agree;
        levels of a factor that are decided in opposite directions make it mixed.
        """
        effects = [_beyond_chance(one) for one in self.parts]
        known_effects = [one for one in effects if known(one.value)]
        known_effects = [one for one in known_effects if known(one.low)] or known_effects
        if not known_effects:
            return NOT_DECIDED, NO_ESTIMATE, self._same_outcome()
        if self.too_few:
            return NOT_DECIDED, NO_ESTIMATE, self.too_few
        weakest = min(known_effects, key=lambda one: one.low if known(one.low) else -math.inf)
        for by_level in self.levels.values():
            words = [_word(one, least, direction) for one in by_level.values()]
            if {HOLDS, OPPOSITE} <= set(words):
                return MIXED, weakest, ""
        word = combined([_word(one, least, direction) for one in self.parts])
        if word == OPPOSITE:
            weakest = max(known_effects, key=lambda one: one.high)
        if word in (HOLDS, OPPOSITE, TOO_SMALL):
            return word, weakest, ""
        return NOT_DECIDED, weakest, self._open(least, direction)

    def _open(self, least: float, direction: str) -> str:
        """Within which factors it is not shown, and why."""
        open_ones = {
            key: one
            for key, one in self.within.items()
            if _word(one, least, direction) == NOT_DECIDED
        }
        without = [key for key, one in open_ones.items() if not known(one.auc.low)]
        leaves = [f"{key} {words(one.auc)}" for key, one in open_ones.items() if key not in without]
        parts = [f"it is left open within {listing(leaves)}"] if leaves else []
        if without:
            few = "too few networks of both outcomes share a level for an interval"
            parts.append(f"within {listing(without)} {few}")
        ways = {
            word: [key for key, one in self.within.items() if _word(one, least, direction) == word]
            for word in (HOLDS, OPPOSITE)
        }
        if all(ways.values()):
            parts.append(
                f"within {listing(ways[HOLDS])} it does, within {listing(ways[OPPOSITE])}"
                " the opposite"
            )
        if not parts and self.alike:
            parts = [f"alike in everything but the seed it is {words(self.alike.auc)}"]
        return "; ".join(parts) or "the interval leaves it open"

    @property
    def too_few(self) -> str:
        """Why no part has an interval, for a sentence; "" if one has."""
        if any(known(one.auc.low) for one in self.parts):
            return ""
        one = self.pooled
        if known(one.auc.low):
            return "within no factor do enough networks of both outcomes share a level"
        solved, rest = one.successes, one.auc.n - one.successes
        text = f"{solved} of {count(one.auc.n, 'judged network')} solved their task"
        if min(solved, rest) >= FEWEST:
            return f"{text}, in recipes too few or too alike for an interval"
        few = f"{solved} that did" if solved < rest else f"{rest} that did not"
        return f"{text}; the {few} are too few to compare"

    @property
    def word(self) -> str:
        """HOLDS: the more carried, the more often solved, within each factor; OPPOSITE; or less."""
        return self.judged(0.0)[0]

    def _same_outcome(self) -> str:
        n, solved = self.pooled.auc.n, self.pooled.successes
        if not n:
            return "no network has a judged state"
        if solved in (0, n):
            return f"every judged network {'solved' if solved else 'failed to solve'} its task"
        return "no solved and unsolved network share a level to be compared within"


def _beyond_chance(one: Prediction) -> Estimate:
    return Estimate(one.auc.value - 0.5, one.auc.low - 0.5, one.auc.high - 0.5, one.auc.n)


def _word(one: Prediction, least: float, direction: str) -> str:
    """The strength, unless other draws of the bootstrap might give another."""
    effect, error = _beyond_chance(one), SETTLED * one.drawn
    words = {
        strength(
            Estimate(effect.value, effect.low + a, effect.high + b, effect.n), least, direction
        )
        for a in (-error, error)
        for b in (-error, error)
    }
    return words.pop() if len(words) == 1 else NOT_DECIDED


def at_share(study: Study, share: float) -> pd.Series:
    """D of the network by point id, at the probe nearest to a share of the updates.

    At share 1, the D that decides the verdict.
    """
    if share >= 1:
        return study.stored.set_index("id")["D"].astype(float)
    states = study.table("states")
    states = states[states["layer"] == NETWORK].merge(
        study.stored.assign(planned=planned_updates)[["id", "planned"]], on="id"
    )
    if states.empty:
        return pd.Series(dtype=float)
    away = (states["update"].astype(float) - share * states["planned"]).abs()
    nearest = states.assign(away=away).sort_values(["id", "away"]).groupby("id").head(1)
    return nearest.set_index("id")["D"].astype(float)


def association_at(study: Study, share: float, draws: int) -> Association:
    """How D at a share of the run goes with solving, over all stored points; made once."""
    found: Association = study.cached(
        f"association at {share} by {draws} draws",
        lambda: association(study, with_counted(study), at_share(study, share), draws),
    )
    return found


def association(study: Study, points: pd.DataFrame, D: pd.Series, draws: int) -> Association:
    """How D goes with solving over these points (those that are listed, in a large study)."""
    points = study.for_listing(points)
    pooled = prediction(study, points, D, draws)
    # Tasks differ in how much is solved and in what is carried, so that networks are compared
    # within one, whatever else they share.
    problem = list(study.problems[0].levels)
    found = {}
    by_level = {}
    for key in study.factors:
        blocks = list(dict.fromkeys([key, *problem]))
        within = prediction(study, points, D, draws, blocks=blocks, ranks=False)
        found[key] = replace(within, rho=pooled.rho)
        if len(study.levels(key)) <= MOST_LEVELS:
            shown = key == study.matrix_factors[0]
            by_level[key] = {
                name: prediction(
                    study,
                    points[points[key] == name],
                    D,
                    draws,
                    blocks=[one for one in problem if one != key] or None,
                    ranks=shown,
                )
                for name in study.levels(key)
            }
    alike = prediction(study, points, D, draws, blocks=list(study.factors), ranks=False)
    return Association(
        pooled,
        found,
        by_level,
        alike if alike.pairs >= FEWEST_PAIRS and known(alike.auc.low) else None,
    )


def prediction(
    study: Study,
    points: pd.DataFrame,
    D: pd.Series,
    draws: int,
    blocks: list[str] | None = None,
    ranks: bool = True,
) -> Prediction:
    """The prediction over these points, compared within equal levels of the factors `blocks`.

    Scores enter as ranks within their task, best last, since tasks have no common scale.
    """
    points = study.for_listing(points)
    of_task = points["counted"].groupby(points["task"])
    better = (of_task.rank(ascending=study.higher_is_better) - 0.5) / of_task.transform("count")
    return predict(
        points["id"].map(D).to_numpy(dtype=float),
        (points["outcome"] == "solved").to_numpy(dtype=bool),
        better.to_numpy(dtype=float),
        points["arm"].to_numpy(),
        draws=draws,
        seed=SEED,
        block=codes(points, blocks) if blocks else None,
        ranks=ranks,
    )


def association_words(found: Association) -> str:
    """The numbers that decide, for a sentence: AUC over all points, and within each factor."""
    if not known(found.pooled.auc.value):
        return f"Of {count(found.pooled.auc.n, 'judged network')} {found.pooled.successes} solved"
    if found.too_few:
        return found.too_few
    rests = f"n = {found.pooled.auc.n} networks in {found.pooled.arms} recipes"
    inside = [(key, one.auc) for key, one in found.within.items() if known(one.auc.value)]
    inside.sort(key=lambda pair: pair[1].value)
    if len(inside) == 1:
        within = f"; within {inside[0][0]} {words(inside[0][1])}"
    elif inside:
        (first, least), (last, most) = inside[0], inside[-1]
        within = (
            f"; within one factor at a time from {words(least)} ({first}) to {words(most)} ({last})"
        )
    else:
        within = ""
    if found.alike:
        within += f"; alike in everything but the seed {words(found.alike.auc)}"
    return f"AUC {words(found.pooled.auc)} over all networks{within}; {rests}"


def brief_words(found: Association) -> str:
    """The same for a reader with a minute: the AUC over all points, and of the factor that leaves
    it open most, or its span within factors.
    """
    word, _, why = found.judged(0.0)
    if word == NOT_DECIDED and why:
        known_lows = {
            key: one.auc
            for key, one in found.within.items()
            if known(one.auc.low) and one.auc.low <= 0.5 <= one.auc.high
        }
        if not known_lows:
            return f"AUC {words(found.pooled.auc)} over all networks; {why}"
        key = min(known_lows, key=lambda name: known_lows[name].low)
        pooled = number(found.pooled.auc.value)
        return f"AUC {pooled} over all networks; within {key} {words(known_lows[key])}"
    within = [one.auc.value for one in found.within.values() if known(one.auc.value)]
    low, high = (number(end(within)) if within else "" for end in (min, max))
    span = low if low == high else f"{low} to {high}"
    inside = f"; within one factor at a time {span}" if within else ""
    return f"AUC {words(found.pooled.auc)} over all networks{inside}"


def prediction_words(
    study: Study, share: float, when: str, draws: int, *, brief: bool = False
) -> str:
    """One or two sentences: whether D goes with solving here, by what, and within which levels.

    Brief: without the intervals within factors, and without the levels.
    """
    found = association_at(study, share, draws)
    word, effect, why = found.judged(0.0)
    if not found.pooled.auc.n:
        return ""
    if not known(effect.value) or found.too_few:
        return (
            f"Whether the remaining gradient {when} goes with solving the task cannot be"
            f" determined here: {why}."
        )
    said = {
        HOLDS: "goes with solving the task here: the more is left, the more often solved, within"
        " every factor",
        OPPOSITE: "goes against solving the task here: the more is left, the less often solved,"
        " within every factor",
        MIXED: "goes with solving the task at some levels here and against it at others",
    }.get(word, "is not shown to go with solving the task here")
    return (
        f"The remaining gradient at the judged lag {when} {said}"
        f" ({brief_words(found) if brief else association_words(found)})."
        f"{'' if brief else _by_level(study, found)}{_explosions(study) if share >= 1 else ''}"
    )


def _explosions(study: Study) -> str:
    """That networks whose gradients explode have the largest D, if there are any."""
    n = int((study.stored["verdict"] == "explodes").sum())
    if not n:
        return ""
    carry = "it carries" if n == 1 else "they carry"
    return f" {count(n, 'network')} end exploding, and {carry} most."


def _by_level(study: Study, found: Association) -> str:
    """The AUC within each level of the first factor."""
    key = study.matrix_factors[0]
    by_level = found.levels.get(key, {})
    if not by_level or len(by_level) > MOST:
        return ""
    within = [
        f"{level(key, name)} {words(one.auc)}"
        for name, one in by_level.items()
        if known(one.auc.value)
    ]
    rest = _one_outcome(key, by_level)
    if not within:
        return f" Within one level of {key} it cannot be determined: {rest}." if rest else ""
    return f" Within one level of {key}: {', '.join(within)}{f'; {rest}' if rest else ''}."


def _one_outcome(key: str, by_level: Mapping[str, Prediction]) -> str:
    """Levels at which every network solved its task, or none did."""
    same = {
        which: [
            level(key, name)
            for name, one in by_level.items()
            if one.auc.n and not known(one.auc.value) and (one.successes > 0) == (which == "all")
        ]
        for which in ("all", "none")
    }
    return "; ".join(f"{listing(names)} solved {which}" for which, names in same.items() if names)


def words(estimate: Estimate, apart: float = 0.5) -> str:
    """For example: .83 [.71, .92]; without an interval, the value alone. `apart`: the value that
    means no association, which a rounded end must not seem to reach.
    """
    if not known(estimate.value):
        return "not defined"
    return number(estimate.value) + (
        f" {interval(estimate.low, estimate.high, apart=apart)}"
        if np.isfinite(estimate.low)
        else " (no interval)"
    )
