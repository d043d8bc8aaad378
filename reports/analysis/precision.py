"""What would decide a comparison that is not decided: seeds, test examples, or neither."""

from __future__ import annotations

import bisect

import numpy as np

from reports.analysis.comparison import Comparison, has_interval, with_sign
from reports.analysis.measures import MEASURES, sign
from reports.data.study import Study
from reports.data.test_set import weighted_noise
from reports.findings.finding import HOLDS, NOT_DECIDED, OPPOSITE, strength
from reports.formatting import count, score_number
from reports.statistics import Estimate, widen
from reports.statistics.estimates import stratified_share_difference
from reports.statistics.levels import weighted_values

MOST = 1000  # seeds per arm beyond which no number is named
HOW = {HOLDS: "holding", OPPOSITE: "the opposite"}


def what_would_decide(
    study: Study,
    compared: Comparison,
    by: str,
    found: Estimate,
    least: float,
    direction: str,
    level: float,
) -> str:
    """A sentence part on what would decide a comparison whose effect stays as it was measured.

    The number of seeds is the smallest at which the interval of that effect and that spread, with
    its own t or score quantiles, would decide, and how it would.
    """
    if not has_interval(found):
        fewest = min((len(values) for values in compared.by_arm.values()), default=0)
        seeds = len(study.seeds)
        if seeds > 1:
            return (
                f"a recipe has {fewest} value of its {count(seeds, 'seed')}, so there is no"
                " interval"
            )
        return "one seed per recipe has no interval; a second seed would give one"
    noise = weighted_noise(study, compared.weights) if by == "score" else 0.0

    def word(seeds: int) -> str:
        then = _with_seeds(compared, by, seeds, level)
        then = widen(then, noise, level=level) if noise > 0 else then
        return strength(with_sign(then, sign(study, by)), least, direction)

    now = max((len(values) for values in compared.by_arm.values()), default=0)
    numbers = range(now + 1, now + MOST + 1)
    if word(numbers[-1]) == NOT_DECIDED:
        if noise > 0 and word(MOST**2) == NOT_DECIDED:
            return (
                "no number of seeds would decide it: the noise of the test set alone is larger"
                " than the distance from what was found to what decides"
            )
        return f"over {MOST:,} more seeds per recipe would be needed if the effect is as measured"
    place = bisect.bisect_left(numbers, True, key=lambda seeds: word(seeds) != NOT_DECIDED)
    decided = word(numbers[place])
    how = HOW.get(decided) or f"{decided} (less than {score_number(least, 3)})"
    return (
        f"about {count(place + 1, 'more seed')} per recipe would decide it, as {how}, if the"
        " effect is as measured"
    )


def _with_seeds(compared: Comparison, by: str, seeds: int, level: float) -> Estimate:
    """The comparison if every arm had so many seeds, of the mean and spread that it has."""
    if MEASURES[by].share:
        return stratified_share_difference(
            [
                (
                    list(_alike(np.array(compared.values(first)), seeds * len(first))),
                    list(_alike(np.array(compared.values(second)), seeds * len(second))),
                )
                for first, second in compared.blocks
            ],
            level=level,
        )
    return weighted_values(
        {arm: _alike(values, seeds) for arm, values in compared.by_arm.items()},
        compared.weights,
        level=level,
    )


def _alike(values: np.ndarray, n: int) -> np.ndarray:
    """`n` numbers with the mean and the standard deviation of these."""
    if len(values) < 2:
        return np.full(n, values.mean())
    rising = np.linspace(-1.0, 1.0, n)
    return values.mean() + rising / rising.std(ddof=1) * values.std(ddof=1)
