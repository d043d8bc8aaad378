"""Which factors change the problem itself, so that arms on either side are no choice."""

from __future__ import annotations

from collections.abc import Iterable


def of_problem(factors: Iterable[str], choices: Iterable[str]) -> list[str]:
    """The factors that make another problem: the task, and its settings that are no `choices`.

    A recipe can choose a cell, a rate, or how many rows a forecast reads (`choices`, names without
    "task."; TaskFacts.choices). It cannot choose how long the sequences are.
    """
    chosen = {f"task.{name}" for name in choices}
    return [
        factor
        for factor in factors
        if factor == "task" or (factor.startswith("task.") and factor not in chosen)
    ]
