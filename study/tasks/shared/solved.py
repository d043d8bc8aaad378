"""From which score a task counts as solved: a rule that no guess without training can meet."""

from __future__ import annotations

ACCURACY = 0.9
HALFWAY = 0.5  # from the best guess to a perfect score
ERROR = 0.9  # of the way from the mean's error to none: a tenth of it is left
BEATS = 0.01  # of the way from the better of persistence and seasonal naive; rounding is less

ROUNDING = 1e-12  # of a standardised squared error in single precision, with room


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
