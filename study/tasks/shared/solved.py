"""From which score a task counts as solved: a rule that no guess without training can meet."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from study.interfaces import PARTS, Batch
from study.tasks.shared.metrics import Metric

ACCURACY = 0.9
HALFWAY = 0.5  # from the best guess to a perfect score
ERROR = 0.9  # of the way from the mean's error to none: a tenth of it is left
BEATS = 0.01  # of the way from the better of persistence and seasonal naive; rounding is less

ROUNDING = 1e-12  # of a standardised squared error in single precision, with room
WHAT_FOLLOWS = ": scores there do not show whether the sequence is read"
NO_RULE = (
    "there is no rule for solved: on validation a guess that does not read the sequence is perfect;"
    " no network counts as solved, and stop.solved_checks ends none early"
)


def rule(
    metric: Metric, guess: float, parts: Mapping[str, Batch], *, asked: float | None, forecast: bool
) -> tuple[float | None, list[str]]:
    """(the rule for solved, what to say of it).

    metric: the score; guess: that of the best guess on validation. asked: task.solved. forecast:
    whether there are naive rules.
    """
    same = [part for part in PARTS[1:] if bool((y := parts[part].y).eq(y[0]).all())]
    warnings = [f"all targets of {part} are the same{WHAT_FOLLOWS}" for part in same]
    higher = bool(metric.higher_is_better)
    if metric.name == "accuracy":
        y = parts["validation"].y
        guess = float(torch.bincount(y).max()) / len(y)  # the best constant
        found = accuracy(guess)
    else:
        usual_share = ERROR if metric.of_all == "mse" else HALFWAY
        found = between(guess, metric.perfect, BEATS if forecast else usual_share)
    found = None if "validation" in same else found
    if asked is None:
        return found, warnings + [NO_RULE] * (found is None)
    if meets(guess, asked, higher_is_better=higher):
        warnings.append(
            f"task.solved={asked:g} is met without reading the sequence: the best guess"
            f" scores {guess:.4g} on validation"
        )
    if not meets(metric.perfect, asked, higher_is_better=higher):
        warnings.append(
            f"task.solved={asked:g} cannot be met: a perfect score is {metric.perfect:g}"
        )
    return asked, warnings


def perfect_or(value: float, perfect: float) -> float:
    """A value, or perfect where it differs by rounding alone."""
    return perfect if abs(value - perfect) < ROUNDING else value


def between(guess: float, perfect: float, share: float) -> float | None:
    """The score `share` of the way from the best guess to a perfect score.

    None where the guess is perfect already, so that it would meet every rule.
    """
    return None if guess == perfect else guess + share * (perfect - guess)


def accuracy(guess: float) -> float | None:
    """ACCURACY, or halfway from a guess that reaches it to 1."""
    return ACCURACY if guess < ACCURACY else between(guess, 1.0, HALFWAY)


def meets(score: float, solved: float, *, higher_is_better: bool) -> bool:
    """Whether a score meets a rule."""
    return score >= solved if higher_is_better else score <= solved
