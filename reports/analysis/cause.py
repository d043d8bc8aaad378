"""Whether the gradients say why one recipe trains and others do not, for the first screen."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reports.analysis.arms import with_counted
from reports.analysis.by_problem import MANY
from reports.analysis.carried import back, fraction
from reports.analysis.recipe import Recipe, recipes
from reports.analysis.tallies import Tally, of_words, tally
from reports.data.study import Study
from reports.formatting import known, number

MOST, HALF = 0.8, 0.5  # shares of networks that count as most, and as at least half
MAY = "the gradient may be why"
SMALLEST = 6  # powers of ten; what is less is called less than that


def cause_words(study: Study) -> list[str]:
    """Whether the recommended recipe and those that are worse differ in how much gradient is left,
    in a sentence for each problem; none where nothing was learned or is judged.

    It counts networks and compares medians. Nothing is tested, and no cause is claimed.
    """
    every = recipes(study)
    if len(every) > MANY:
        return []
    parts = []
    for problem, found in every:
        if words := _of_one(study, found):
            on = f"On {problem.name}: " if problem.name else ""
            parts.append(f"{on}{words if on else words[0].upper() + words[1:]}")
    if any(MAY in part.lower() for part in parts):
        parts[-1] += " Counted, not tested: which came first is not known."
    return parts


def _of_one(study: Study, found: Recipe) -> str:
    close = found.close or ()
    if not found.learned or found.close is None or len(found.order) < 2:
        return ""
    if found.undecided:
        return (
            "no recipe is shown to be better or worse: there is nothing for gradients to explain."
        )
    points = study.stored[study.stored["verdict"].notna()]
    # Only recipes that are told apart by their score: some of them may be better on test.
    good = points[points["arm"].isin([found.first, *close])]
    bad = points[points["arm"].isin(_worse(study, found, close))]
    if good.empty or bad.empty:
        return ""
    first, other = tally(good), tally(bad)
    whose = "the recommended recipe"
    if close:
        many = "one" if len(close) == 1 else str(len(close))
        whose += f" and of the {many} that cannot be told apart from it"
    at_end = f"{_all(first.carrying, first.judged)} networks of {whose}"
    where, carried = back(study), f"at least {fraction(study)} of it was left"
    if first.carrying < MOST * first.judged or other.without_carrying < HALF * other.judged:
        return (
            f"the gradients do not explain it here: at the end {at_end} carried the gradient"
            f" {where} ({carried}), and {_so_did(other)} networks of worse recipes."
        )
    part = "" if other.without_carrying >= MOST * other.judged else " in part"
    lost = (
        f"; {_all(other.lost, other.n)} were lost to divergence"
        if other.lost >= HALF * other.n
        else ""
    )
    median = f" ({text[2:]} was left)" if (text := _median(bad)) else ""
    return (
        f"{MAY}{part}: at the end {at_end} carried it {where} ({carried}"
        f"{_median(good)}); of the networks of worse"
        f" recipes, {of_words(other.without_carrying, other.judged)} did not{median}{lost}."
    )


def _worse(study: Study, found: Recipe, close: Sequence[int]) -> list[int]:
    """Arms that are shown to be worse by test score than the first."""
    means = with_counted(study).groupby("arm")["counted"].mean()
    sign = 1 if study.higher_is_better else -1
    return [
        arm
        for arm in found.order[1:]
        if arm not in close and sign * (means[arm] - means[found.first]) < 0
    ]


def _all(n: int, total: int) -> str:
    """All 5; 4 of the 5; none of the 5."""
    return f"all {total}" if n == total > 1 else f"{n or 'none'} of the {total}"


def _so_did(other: Tally) -> str:
    n, total = other.carrying, other.judged
    return f"so did all {total}" if n == total > 1 else f"{n or 'none'} of the {total}"


def _median(points: pd.DataFrame) -> str:
    """The median share of the gradient that is left, for example: ; median 24 %."""
    middle = float(points["D"].astype(float).median())
    if not known(middle):
        return ""
    if middle >= 0:
        return "; median: all of it"
    if middle >= -2:
        return f"; median: {number(100 * 10**middle, 0)} %"
    if middle < -SMALLEST:
        return f"; median: less than 1/{10**SMALLEST:,}"
    size = float(f"{10**-middle:.0e}")
    return f"; median: 1/{size:,.0f}"
