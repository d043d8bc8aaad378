"""What each factor does to the score: averaged over everything else, or by level of another."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.analysis.comparison import with_sign
from reports.analysis.measures import measured, sign
from reports.analysis.terms_shown import Decided, ShownTerm, terms_shown
from reports.data.study import Study
from reports.data.test_set import contrast_noise, weighted_noise
from reports.formatting import known
from reports.statistics import Estimate, level_gap, widen
from reports.statistics.estimates import clamp_difference
from reports.statistics.holm import FAMILY_ERROR
from reports.statistics.levels import values_by_arm, weighted_values
from reports.statistics.terms import Confounded, codes

ROUNDING = 1e-9


@dataclass(frozen=True)
class AtLevel:
    """Two levels of a factor at one level of another, `at`: better minus worse.

    Over arms alike in everything else; the interval is corrected for the number of comparisons of
    the dependence it belongs to.
    """

    at: str
    better: str
    worse: str
    better_mean: float
    worse_mean: float
    difference: Estimate

    @property
    def shown(self) -> bool:
        return known(self.difference.low) and _side(self.difference) > 0


@dataclass(frozen=True)
class Dependence:
    """What a factor does at each level of a partner.

    `reverses`: of two levels, one is shown to be better at one level of the partner and the other
    at another; `by_level` then compares these two, else the two furthest apart at each level.
    """

    factor: str
    partner: str
    by_level: tuple[AtLevel, ...]
    reverses: bool


@dataclass(frozen=True)
class Effect:
    """The two levels of a factor that are furthest apart, averaged over everything else.

    `difference`: better minus worse, positive is better, over arms that occur at both levels.
    `decided`: the test of the factor's main effect. `reversed_by`: interactions that are shown and
    change which level is better, so that the average says nothing; `varies_with`: partners in the
    other interactions that are shown. `confounded`: what its levels cannot be told apart from.
    `alike`: (arms that are compared, arms that have either level): where not all have a partner
    that is alike in everything else, the average is over those that have.
    """

    factor: str
    better: str
    worse: str
    better_mean: float
    worse_mean: float
    difference: Estimate
    decided: Decided | None
    reversed_by: tuple[Dependence, ...] = ()
    varies_with: tuple[str, ...] = ()
    confounded: Confounded | None = None
    alike: tuple[int, int] = (0, 0)

    @property
    def shown(self) -> bool | None:
        return self.decided.shown if self.decided else None


def main_effects(study: Study, points: pd.DataFrame) -> list[Effect]:
    """One effect per factor, largest first; those that have no interval and are not shown are left
    out.
    """
    effects, found = [], terms_shown(study, "score")
    for factor, names in study.factors.items():
        gap = level_gap(
            points, "counted", factor, names, [key for key in study.factors if key != factor]
        )
        term = found.term(factor) if found else None
        if gap is None or found is None or not (known(gap.difference.low) or (term and term.shown)):
            continue
        wide = widen(gap.difference, contrast_noise(study, points, factor, gap.high, gap.low))
        wide = clamp_difference(wide, *study.score_range)
        sides = (
            (gap.high, gap.low, gap.high_mean, gap.low_mean)
            if study.higher_is_better
            else (gap.low, gap.high, gap.low_mean, gap.high_mean)
        )
        reverses, varies = reversals(study, "score", factor)
        effects.append(
            Effect(
                factor,
                *sides,
                wide,
                term.decided if term else None,
                reverses,
                varies,
                found.confounding(factor),
                (gap.arms, gap.of),
            )
        )
    return sorted(effects, key=lambda one: -one.difference.value)


def reversals(study: Study, by: str, factor: str) -> tuple[tuple[Dependence, ...], tuple[str, ...]]:
    """Interactions of a factor that are shown and reverse it, and partners in those that do not."""
    found = terms_shown(study, by)
    partners = found.partners(factor) if found else []
    all_of_them = [dependence(study, by, factor, partner) for partner in partners]
    return (
        tuple(one for one in all_of_them if one.reverses),
        tuple(one.partner for one in all_of_them if not one.reverses),
    )


def read(study: Study, by: str, term: ShownTerm) -> Dependence:
    """An interaction told from the side that says most.

    That is what one factor does by level of the other: rather one that reverses or has a difference
    that is shown, rather a choice than what makes another problem, rather the second in the order
    of the study's factors.
    """
    first, second = (key for key in study.factors if key in term.factors)
    sides = [dependence(study, by, *pair) for pair in ((second, first), (first, second))]
    return max(
        sides,
        key=lambda one: (
            one.factor in study.same_problem,
            one.reverses,
            any(at.shown for at in one.by_level),
        ),
    )


def dependence(study: Study, by: str, factor: str, partner: str) -> Dependence:
    """What a factor does to a measure at each level of another."""
    found: Dependence = study.cached(
        f"{factor} by {partner} on {by}", lambda: _dependence(study, by, factor, partner)
    )
    return found


Pair = tuple[str, str]
Values = Mapping[int, np.ndarray]  # of each arm


def _dependence(study: Study, by: str, factor: str, partner: str) -> Dependence:
    values: Values = study.cached(
        f"values of {by} by arm", lambda: values_by_arm(measured(study, by), "value")
    )
    compared = _comparisons(study, values, factor, partner)
    level = 1 - FAMILY_ERROR / max(1, len(compared))
    way = sign(study, by)
    differences: dict[tuple[str, Pair], Estimate] = {}
    for key, weights in compared.items():
        found = weighted_values(values, weights, level=level)
        if by == "score":
            found = widen(found, weighted_noise(study, weights), level=level)
            found = clamp_difference(found, *study.score_range)
        differences[key] = with_sign(found, way)
    pair = _reversed_pair(differences)
    by_level = []
    for at in study.levels(partner):
        own = {key: one for key, one in differences.items() if key[0] == at}
        if pair is not None:
            own = {key: one for key, one in own.items() if key[1] == pair}
        if own:
            chosen = max(own, key=lambda key: (_side(own[key]) != 0, abs(own[key].value)))
            by_level.append(_at_level(values, chosen, own[chosen], compared[chosen]))
    return Dependence(factor, partner, tuple(by_level), pair is not None)


def _comparisons(
    study: Study, values: Values, factor: str, partner: str
) -> dict[tuple[str, Pair], Mapping[int, float]]:
    """Weights of arms for each pair of levels at each level of the partner, matched in all else."""
    arms = study.arms[study.arms["arm"].isin(list(values))]
    block = codes(arms, [key for key in study.factors if key != factor])
    at: dict[tuple[str, str], dict[int, int]] = {}
    for place, level, number, arm in zip(
        arms[partner], arms[factor], block, arms["arm"], strict=True
    ):
        at.setdefault((place, level), {})[int(number)] = int(arm)
    made: dict[tuple[str, Pair], Mapping[int, float]] = {}
    for place in study.levels(partner):
        for pair in itertools.combinations(study.levels(factor), 2):
            one, other = (at.get((place, level), {}) for level in pair)
            both = [number for number in one if number in other]
            if both:
                made[place, pair] = {one[number]: 1 / len(both) for number in both} | {
                    other[number]: -1 / len(both) for number in both
                }
    return made


def _side(difference: Estimate) -> int:
    """1 or −1 if the interval lies above or below 0; 0 if neither is shown."""
    # Arms without any spread have intervals of no width, where rounding must not decide.
    return int(difference.low > ROUNDING) - int(difference.high < -ROUNDING)


def _reversed_pair(differences: Mapping[tuple[str, Pair], Estimate]) -> Pair | None:
    """The pair of levels whose order is shown both ways, by the most; None if none is."""
    sizes = {}
    for pair in dict.fromkeys(pair for _, pair in differences):
        own = [one for (_, of), one in differences.items() if of == pair and _side(one)]
        ways = [[abs(one.value) for one in own if _side(one) == side] for side in (1, -1)]
        if all(ways):
            sizes[pair] = min(map(max, ways))
    return max(sizes, key=lambda pair: sizes[pair]) if sizes else None


def _at_level(
    values: Values, key: tuple[str, Pair], difference: Estimate, weights: Mapping[int, float]
) -> AtLevel:
    (at, levels), arms = key, list(weights)
    means = [
        float(np.mean([values[arm].mean() for arm in arms if weights[arm] * way > 0]))
        for way in (1, -1)
    ]
    way = 1.0 if difference.value >= 0 else -1.0
    better, worse = (0, 1) if way > 0 else (1, 0)
    return AtLevel(
        at, levels[better], levels[worse], means[better], means[worse], with_sign(difference, way)
    )
