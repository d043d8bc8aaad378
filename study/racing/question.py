"""What a race between arms is to decide, with the looks at which it may (study.certain)."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np

from study.racing.boundaries import by_spending, level_of_pairs

DECIDE = ("best", "top", "contrasts", "precision", "threshold")
BETWEEN = ("best", "top")  # questions that compare arms with one another


@dataclass(frozen=True)
class Question:
    """A question about `arms` arms.

    `looks`: numbers of seeds per arm at which decisions are made, the last being the most.
    `alpha`: probability of any wrong decision. `delta`: the difference that matters, or the
    half-width wanted. `top`: how many arms are sought. `weights`: of each comparison over the arms,
    where the question is not between arms; of a threshold, comparisons are single arms minus it.
    `shares`: values are 0 or 1. `times`: values are minus a time, cut off at 1. Larger values are
    better. `anytime`: by bets on values between `least` and `least` + 1, without boundaries.
    `dropping` says when alpha is spent on
    arms that leave a race between arms, and `spending` when on all else.
    """

    decide: str
    arms: int
    alpha: float
    delta: float
    looks: tuple[int, ...]
    spending: str
    dropping: str
    top: int = 1
    threshold: float = 0.0
    weights: tuple[tuple[float, ...], ...] = field(default=())
    shares: bool = False
    times: bool = False
    anytime: bool = False
    least: float = 0.0

    @property
    def between(self) -> bool:
        return self.decide in BETWEEN

    @functools.cached_property
    def matrix(self) -> np.ndarray:
        """`weights` as [comparisons, arms]; every arm by itself if none are given."""
        return np.array(self.weights) if self.weights else np.eye(self.arms)

    @functools.cached_property
    def z(self) -> np.ndarray:
        """Critical z [looks, members] of what is shown to differ: of a family with so many members,
        at each look.

        Members are the arms that are compared pair by pair, of which one or none needs no test
        (inf); or else the comparisons, whose levels add up to alpha (Bonferroni).
        """
        if self.between:
            return self._by_members(self.dropping)
        return np.array([self._boundaries(self.spending, self.alpha / len(self.matrix))]).T

    @functools.cached_property
    def z_close(self) -> np.ndarray:
        """Critical z [looks, members] of what is shown to be no better by more than delta.

        That can only be wrong of an arm that is worse than a sought one, in one direction, and
        never of arms that tie, which is what `z` is for. So it is enough that the levels of single
        sides add up to alpha over all arms (Hsu 1981, comparisons with the best; Bonferroni),
        however many have left; or over the pairs of those left, if they are few.
        """
        one_sided = self.alpha / (self.arms * self.top)
        every = self._boundaries(self.spending, 2 * one_sided)
        return np.minimum(self._by_members(self.spending), np.array(every)[:, None])

    def level(self, members: np.ndarray, *, close: bool = False) -> np.ndarray:
        """Of one side of one pair of `members`, for bets: as `z` and, with `close`, `z_close`."""
        pairs = np.array([self.alpha / max(m * (m - 1), 1) for m in range(self.arms + 1)])[members]
        return np.maximum(pairs, self.alpha / (self.arms * self.top)) if close else pairs

    def possible(self, values: np.ndarray) -> np.ndarray:
        """Simulated values, none beyond the ends that bets rely on."""
        return np.clip(values, self.least, self.least + 1) if self.anytime else values

    def _by_members(self, spending: str) -> np.ndarray:
        levels = [level_of_pairs(members, self.alpha) for members in range(2, self.arms + 1)]
        none = [np.inf] * len(self.looks)
        return np.array([none, none, *(self._boundaries(spending, level) for level in levels)]).T

    def _boundaries(self, spending: str, level: float) -> tuple[float, ...]:
        return by_spending(spending, level, tuple(map(float, self.looks)))
