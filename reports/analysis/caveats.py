"""What changes a decision that rests on a study: sentences for its first screen."""

from __future__ import annotations

import pandas as pd

from reports.analysis.arms import WORST, worst_words
from reports.analysis.ends import different_stopping_points
from reports.analysis.margins import close_ends
from reports.analysis.recipe import leaders
from reports.analysis.tallies import tally
from reports.data.study import Study
from reports.formatting import OUTCOME_SYMBOLS, count, level, listing


def caveats(study: Study, arms: pd.DataFrame, points: pd.DataFrame, trusted: int) -> list[str]:
    """How far the numbers reach: seeds, lost networks, stops, margins, points left out.

    `trusted`: number of seeds below which single arms are not to be relied on.
    """
    sentences = _few_seeds(study, arms, trusted)
    if points.empty:
        return sentences
    if study.adopted:
        sentences += _adopted(study, arms)
    sentences += lost_networks(study, points)
    others = (different_stopping_points(points), close_ends(study))
    sentences += [text for text in others if text]
    if len(study.outside_grid):
        sentences.append(
            f"{count(len(study.outside_grid), 'stored network')} outside the declared grid left"
            " out."
        )
    return sentences


def _few_seeds(study: Study, arms: pd.DataFrame, trusted: int) -> list[str]:
    seeds, recommended = len(study.seeds), not study.adopted or bool(leaders(study))
    if seeds >= trusted or len(arms) < 2:
        return []
    pooled = (
        "; which can be told apart from the recommended one rests on the spread over seeds pooled"
        " over all recipes"
    )
    return [
        f"{count(seeds, 'seed')} per recipe: single recipes are shown"
        f" {'with their intervals' if seeds > 1 else 'without intervals'} and not tested against"
        " each other one by one (no permutation test of two recipes can reach p < .05 below 4 seeds"
        f" each){pooled if seeds > 1 and recommended else ''}."
    ]


def lost_networks(study: Study, points: pd.DataFrame) -> list[str]:
    """Networks that diverged, and that did so silently, and what they count with."""
    sentences = []
    diverged = points[points["status"] == "diverged"]
    if len(diverged):
        key = study.matrix_factors[0]
        where = diverged[key].value_counts()
        dropped = ", never dropped" if worst_words(study) == WORST else ""
        sentences.append(
            f"{count(len(diverged), 'network')} diverged"
            f" ({listing(f'{n} {level(key, name)}' for name, n in where.items())})"
            f" and {_counts_with(study, len(diverged))}{dropped}."
        )
    silent = tally(points).silent
    if silent:
        sentences.append(
            f"{count(silent, 'network')} diverged silently:"
            f" {OUTCOME_SYMBOLS['silently diverged']} back at the baseline or above it with nothing"
            f" non-finite, and {_counts_with(study, silent)}, whatever the best validation was."
        )
    return sentences


def _counts_with(study: Study, n: int) -> str:
    worst = worst_words(study)
    return f"count with {worst}" if n > 1 else f"counts with {worst.replace('their', 'its')}"


def _adopted(study: Study, arms: pd.DataFrame) -> list[str]:
    """What nobody can know of runs that were trained elsewhere."""
    sentences = []
    if len(arms) > 1 and leaders(study):
        sentences.append(
            "The first recipe was chosen on these networks, so its score is optimistic; fresh ones"
            " would say by how much."
        )
    if study.replicates:
        sentences.append(
            "There is no column of seeds: rows of one recipe count as its replicates, and it is not"
            " known whether they differ in a seed alone."
        )
    sentences.append(
        "Settings that are no column may differ between recipes: whether each was tuned alike, and"
        " on the same data, was not recorded."
    )
    return sentences
