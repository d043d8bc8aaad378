"""How many networks were lost, and how many did not solve their task, for the first screen."""

from __future__ import annotations

import numpy as np
import pandas as pd

from reports.analysis.arms import with_counted
from reports.analysis.flattery import flattery, reaching
from reports.analysis.tallies import Tally, its, of_words, tally
from reports.data.study import Study
from reports.formatting import level, listing, percent
from reports.statistics import wilson
from study.design.outcomes import solved_at_end

MOST_LEVELS = 6  # in a list of counts


def failed_words(study: Study) -> str:
    """Networks that were lost and that did not solve, by level of the first factor or by task."""
    points = with_counted(study)
    key = _by(study)
    lost = _lost_words(study, tally(points))
    if points["lost"].any():
        lost += _by_level(study, points, key, points["lost"].to_numpy(dtype=bool))
    ruled = study.stored[study.has_rule(study.stored)]
    if ruled.empty:
        return f"{lost}."
    found, solved = tally(ruled), solved_at_end(ruled).to_numpy(dtype=bool)
    networks = f"{of_words(found.solved, found.n)} network{'s' if found.n > 1 else ''}"
    text = f"{networks[0].upper()}{networks[1:]} solved {its(study)} task at the end{_rule(study)}"
    if len(study.problems) < 2:  # over several tasks they would be recipes for none of them
        text += _by_recipe(solved, ruled["arm"].to_numpy())
    if not solved.all():
        unsolved = _by_level(study, ruled, key, ~solved)
        text += unsolved and f"; unsolved{unsolved}"
    return f"{text}. {lost}."


def failed_notes(study: Study) -> list[str]:
    """What the counts of solved networks do not say."""
    none = [f"{study.no_rule} ({listing(study.without_rule())})."] if study.without_rule() else []
    ruled = study.stored[study.has_rule(study.stored)]
    if ruled.empty:  # of adopted runs, what was not recorded has a sentence
        return [] if study.adopted else none
    found, notes = tally(ruled), []
    if found.not_kept:
        whose = "its" if found.not_kept == 1 else "their"
        notes.append(
            f"{found.not_kept} more met {whose} rule at an earlier validation and not at the last."
        )
    flattered = None if study.adopted else flattery(study)
    if flattered and flattered.met and flattered.reach is not None:
        notes.append(
            "Solved is judged on validation:"
            f" {reaching(flattered.reach, flattered.met, flattered.whose)} its limit on test."
        )
    return [*notes, *none]


def _rule(study: Study) -> str:
    """What solved means, if there is one problem: the limit may depend on its settings."""
    if len(study.problems) > 1:
        return ""
    rules = {
        (facts.get("solved"), facts.get("metric"), bool(facts.get("higher_is_better")))
        for facts in study.tasks.values()
    }
    if len(rules) != 1:
        return ""
    ((limit, metric, higher),) = rules
    if limit is None:
        return ""
    which = "validation" if study.recorded("val_score") else "test"
    name = str(metric).partition(",")[0].removeprefix("mean ")
    return f" ({which} {name} of at {'least' if higher else 'most'} {float(limit):.4g})"


def _by(study: Study) -> str:
    """The factor by which failures are listed: what makes tasks differ, else the first one."""
    return next(iter(study.problems[0].levels), study.matrix_factors[0])


def _lost_words(study: Study, found: Tally) -> str:
    """For example: 3 of 108 networks were lost (2 diverged, 1 silently)."""
    if not study.recorded("diverged"):
        return "Whether any diverged was not recorded"
    if not found.lost:
        return "No network was lost to divergence"
    hows = [
        (found.diverged, "diverged to numbers that are not finite"),
        (found.silent, "diverged silently: finite, but no better than guessing at the end"),
    ]
    how = "; ".join(f"{n} {word}" for n, word in hows if n)
    were = "was" if found.lost == 1 else "were"
    networks = "the one network" if found.n == 1 else f"{of_words(found.lost, found.n)} networks"
    return f"{networks[0].upper()}{networks[1:]} {were} lost ({how})"


def _by_recipe(solved: np.ndarray, arm: np.ndarray) -> str:
    """In how many recipes all seeds, some or none solved; of one recipe, Wilson's interval.

    Recipes are chosen, not drawn, so that a share over recipes has no interval.
    """
    shares = pd.Series(solved).groupby(arm).mean()
    if len(shares) < 2:
        one = wilson(int(solved.sum()), len(solved))
        ends = f"{percent(one.low)} to {percent(one.high)}"
        return f" ({percent(one.value)}, 95 % interval over seeds {ends})"
    if solved.all():
        return ""
    whole, none = int((shares == 1).sum()), int((shares == 0).sum())
    some = len(shares) - whole - none
    kinds = [(whole, "with every seed"), (some, "with some"), (none, "with none")]
    parts = [f"{n} {how}" for n, how in kinds if n]
    return f"; of {len(shares)} recipes, {listing(parts)}"


def _before_number(words: str) -> str:
    return f"{words}:" if words[-1:].isdigit() else words


def _by_level(study: Study, points: pd.DataFrame, key: str, which: np.ndarray) -> str:
    """For example ": rnn 3 of 36, lstm 4 of 36", for levels that have any; "" for one level."""
    if len(study.levels(key)) < 2:
        return ""
    counted = points.assign(which=which).groupby(key, sort=False)["which"].agg(["sum", "size"])
    parts = [
        f"{_before_number(level(key, str(name)))} {int(row['sum'])} of {int(row['size'])}"
        for name, row in counted.iterrows()
        if row["sum"]
    ]
    left = len(parts) - MOST_LEVELS
    more = [f"and {left} more levels"] if left > 0 else []
    return f": {', '.join([*parts[:MOST_LEVELS], *more])}"
