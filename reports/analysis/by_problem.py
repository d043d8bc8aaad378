"""How sections show what they have to say about each of several problems."""

from __future__ import annotations

from collections.abc import Sequence

from reports.blocks import Fold, Heading
from reports.data.study import Problem, Study
from reports.formatting import listing, short_name

MANY = 3  # problems that are shown one below the other; more are folded away


def nothing_to_choose(study: Study) -> str:
    """What is said of arms that are one a problem."""
    keys = listing([short_name(key) for key in study.problems[0].levels])
    return f"Recipes differ in the task itself ({keys}): there is no recipe to choose"


def under(study: Study, problem: Problem, blocks: Sequence[object]) -> list[object]:
    """These blocks under the problem's name, if the study has several; nothing for no blocks."""
    if not problem.name or not blocks:
        return list(blocks)
    if len(study.problems) > MANY:
        return [Fold(f"Task {problem.name}", list(blocks))]
    return [Heading(f"Task {problem.name}"), *blocks]
