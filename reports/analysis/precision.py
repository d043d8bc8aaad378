"""What would decide a comparison that is not decided: seeds, test examples, or neither."""

from __future__ import annotations

import math

from scipy import stats

from reports.analysis.comparison import Comparison, has_interval, seed_difference
from reports.analysis.measures import MEASURES
from reports.data.study import Study
from reports.data.test_set import weighted_noise
from reports.findings.finding import NO_LESS
from reports.formatting import count
from reports.statistics import Estimate

MOST = 1000  # seeds per arm beyond which no number is named


def margin(value: float, least: float, direction: str) -> float:
    """Half width of an interval around `value` below which the strength would be decided."""
    if direction == NO_LESS:
        return abs(value + least)
    return abs(value) if abs(value) >= least else least - abs(value)


def what_would_decide(
    study: Study,
    compared: Comparison,
    by: str,
    found: Estimate,
    least: float,
    direction: str,
    level: float,
) -> str:
    """A sentence part on what would decide a comparison whose effect stays as it was measured."""
    if not has_interval(found):
        return "one seed per arm has no interval; a second seed would give one"
    measure = MEASURES[by]
    allowed = margin(found.value, least, direction)
    own = seed_difference(compared, share=measure.share, level=level)
    noise = weighted_noise(study, compared.weights) if by == "score" else math.nan
    test = float(stats.norm.ppf((1 + level) / 2)) * noise if math.isfinite(noise) else 0.0
    if test >= allowed:
        return (
            "no number of seeds would decide it: the noise of the test set alone is larger than"
            " the distance from what was found to what decides"
        )
    seeds = len(study.seeds)
    ratio = (own.half / math.sqrt(allowed**2 - test**2)) ** 2
    needed = math.ceil(seeds * ratio)
    if needed > MOST:
        return f"over {MOST:,} seeds per arm would be needed if the effect is as measured"
    more = max(1, needed - seeds)
    return f"about {count(more, 'more seed')} per arm would decide it if the effect is as measured"
