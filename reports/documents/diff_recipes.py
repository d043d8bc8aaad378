"""What became of each recipe of two studies, over its seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.statistics import NO_ESTIMATE, Estimate, mean_interval
from reports.statistics import count as counted
from reports.statistics.estimates import clamp_difference
from reports.statistics.levels import weighted_values
from study.records import VERDICTS

Key = tuple[Any, ...]  # levels of the common settings, then the seed
LEVEL = 0.95
BETTER, WORSE, UNKNOWN = "better", "worse", "unknown (one seed)"
PERHAPS = "perhaps "  # apart from 0 for itself, and not among so many recipes
ALIKE, SAME = "cannot be told apart", "the very same networks"


@dataclass(frozen=True)
class OneSided:
    """A recipe in one study: its mean score, networks that end solved (None without a rule) and are
    lost of `n`, and how often each verdict was given.
    """

    label: str
    score: Estimate
    n: int
    solved: int | None
    lost: int
    verdicts: Mapping[str, int]


@dataclass(frozen=True)
class RecipeChange:
    """A recipe of both studies: second minus first, with its 95 % interval over seeds.

    `paired`: over the seeds that both have, and the interval is that of the differences within
    seeds; where they share fewer than two, over all seeds with Welch's. `among_all`: the interval
    that holds for all recipes that changed together (Bonferroni). `word`: better, worse, and so
    on. `same`: the compared networks are identical.
    """

    label: str
    first: OneSided
    second: OneSided
    difference: Estimate
    among_all: Estimate
    paired: bool
    word: str

    @property
    def same(self) -> bool:
        return self.word == SAME


def changes_by_recipe(
    a: Mapping[Key, pd.Series],
    b: Mapping[Key, pd.Series],
    changed: set[Key],
    name: Callable[[Key], str],
    possible: tuple[float, float],
    higher_is_better: bool,
) -> tuple[list[RecipeChange], Estimate]:
    """Recipes of both that have a score in both, and their mean difference, recipes weighing
    equally, without those of one seed if there are others. `possible`: the smallest and the
    largest score.
    """
    sides = _compared(_by_recipe(a), _by_recipe(b))
    both = [one for one in sides[0] if _scored(sides, one)]
    same = {
        one
        for one in both
        if sides[0][one].keys() == sides[1][one].keys()
        and not any((*one, seed) in changed for seed in sides[0][one])
    }
    moved = max(1, len(both) - len(same))
    found = []
    for one in both:
        first, second = (side[one] for side in sides)
        own, all_of_them = (
            clamp_difference(_difference(first, second, level), *possible)
            for level in (LEVEL, 1 - (1 - LEVEL) / moved)
        )
        label = name((*one, 0))
        found.append(
            RecipeChange(
                label,
                one_sided(label, list(first.values())),
                one_sided(label, list(second.values())),
                own,
                all_of_them,
                _paired(first, second),
                SAME if one in same else _word(own, all_of_them, higher_is_better),
            )
        )
    overall = _overall([(sides[0][one], sides[1][one]) for one in both])
    return found, clamp_difference(overall, *possible)


def _word(own: Estimate, among_all: Estimate, higher_is_better: bool) -> str:
    if not math.isfinite(own.half):
        return UNKNOWN
    if own.low <= 0 <= own.high:
        return ALIKE
    word = BETTER if (own.value > 0) == higher_is_better else WORSE
    return word if among_all.low > 0 or among_all.high < 0 else PERHAPS + word


def _by_recipe(points: Mapping[Key, pd.Series]) -> dict[Key, dict[int, pd.Series]]:
    """Recipe -> seed -> point."""
    found: dict[Key, dict[int, pd.Series]] = {}
    for key, point in points.items():
        found.setdefault(key[:-1], {})[key[-1]] = point
    return found


def _compared(
    a: dict[Key, dict[int, pd.Series]], b: dict[Key, dict[int, pd.Series]]
) -> list[dict[Key, dict[int, pd.Series]]]:
    """Recipes of both, with the seeds of both where these are two or more, else with all."""
    sides: list[dict[Key, dict[int, pd.Series]]] = [{}, {}]
    for recipe in (one for one in a if one in b):
        shared = a[recipe].keys() & b[recipe].keys()
        for side, points in zip(sides, (a[recipe], b[recipe]), strict=True):
            side[recipe] = (
                {seed: point for seed, point in points.items() if seed in shared}
                if len(shared) > 1
                else points
            )
    return sides


def _scores(points: Mapping[int, pd.Series]) -> dict[int, float]:
    """Scores by seed; lost points count as they do on every page."""
    return {
        seed: float(point["counted"])
        for seed, point in points.items()
        if math.isfinite(point["counted"])
    }


def _scored(sides: Sequence[Mapping[Key, Mapping[int, pd.Series]]], one: Key) -> bool:
    return all(_scores(side[one]) for side in sides)


def _paired(first: Mapping[int, pd.Series], second: Mapping[int, pd.Series]) -> bool:
    return _scores(first).keys() == _scores(second).keys()


def _difference(
    first: Mapping[int, pd.Series], second: Mapping[int, pd.Series], level: float
) -> Estimate:
    """Mean of the second minus mean of the first: within seeds if both have the same, else
    Welch's.
    """
    values, weights = _values([(first, second)])
    return weighted_values(values, weights, level=level)


def _overall(pairs: Sequence[tuple[Mapping[int, pd.Series], Mapping[int, pd.Series]]]) -> Estimate:
    several = [pair for pair in pairs if all(len(_scores(side)) > 1 for side in pair)]
    values, weights = _values(several or pairs)
    return weighted_values(values, weights, level=LEVEL) if pairs else NO_ESTIMATE


def _values(
    pairs: Sequence[tuple[Mapping[int, pd.Series], Mapping[int, pd.Series]]],
) -> tuple[dict[int, Any], dict[int, float]]:
    """For `weighted_values`: the differences of a pair with the same seeds, else both sides."""
    values, weights = {}, {}
    for at, (first, second) in enumerate(pairs):
        before, after = (pd.Series(_scores(side)) for side in (first, second))
        if _paired(first, second):
            made = {2 * at: (after - before, 1.0)}
        else:
            made = {2 * at: (after, 1.0), 2 * at + 1: (before, -1.0)}
        for number, (series, sign) in made.items():
            values[number] = series.to_numpy(dtype=float)
            weights[number] = sign / len(pairs)
    return values, weights


def one_sided(label: str, points: Sequence[pd.Series]) -> OneSided:
    """What became of the networks of a recipe in one study."""
    trained = [one for one in points if one["status"] != "failed"]
    ruled = [one for one in trained if bool(one["ruled"])]
    return OneSided(
        label,
        mean_interval([float(one["counted"]) for one in trained]),
        len(trained),
        sum(bool(one["solved"]) for one in ruled) if ruled else None,
        sum(bool(one["lost"]) for one in trained),
        counted([one["verdict"] for one in trained], VERDICTS),
    )


def only(
    a: Mapping[Key, pd.Series], b: Mapping[Key, pd.Series], name: Callable[[Key], tuple[str, str]]
) -> tuple[list[OneSided], list[tuple[str, str]]]:
    """Recipes that only the first has, and (recipe, seeds) that only it has of recipes of both."""
    one, other = _by_recipe(a), _by_recipe(b)
    recipes, seeds = [], []
    for recipe, points in one.items():
        label = name((*recipe, 0))[0]
        if recipe not in other:
            recipes.append(one_sided(label, list(points.values())))
        elif more := [str(seed) for seed in points if seed not in other[recipe]]:
            seeds.append((label, ", ".join(more)))
    return recipes, seeds
