"""Estimates after a race, with intervals that hold whenever and for whatever reason it ended."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from study.racing.boundaries import by_spending, level_of_pairs
from study.racing.intervals import Arms, pair_bounds, weighted_bounds
from study.racing.question import Question
from study.racing.race import Look, by_bets


def last_place(question: Question, looks: Sequence[Look]) -> np.ndarray:
    """[..., arms]: the number of the look at which each arm had its last seed."""
    place = np.zeros(looks[-1].arms.n.shape, int)
    for number in range(1, len(looks)):
        place = np.where(looks[number].arms.n > looks[number - 1].arms.n, number, place)
    return place


def means(question: Question, looks: Sequence[Look]) -> tuple[np.ndarray, np.ndarray]:
    """Repeated intervals [..., arms] of the arms' means, all of them at once at 1 − alpha.

    They hold at every look together, so also for the arm that looks best (Jennison & Turnbull
    1989); each arm's is that of its last look.
    """
    last, arms = last_place(question, looks), looks[-1].arms
    if question.anytime:
        level = question.alpha / (2 * question.arms)
        return by_bets(question, arms, np.eye(question.arms), level)[1:]
    z = _boundaries(question, question.alpha / question.arms)
    low, high = np.empty(last.shape), np.empty(last.shape)
    for place in range(len(looks)):
        _, below, above = weighted_bounds(arms, np.eye(question.arms), z[place])
        if question.times:
            below = np.minimum(below, _with_one_more(arms, -1.0, z[place])[1])
            above = np.maximum(above, _with_one_more(arms, 0.0, z[place])[2])
        low, high = np.where(last == place, below, low), np.where(last == place, above, high)
    return low, high


def differences(
    question: Question, looks: Sequence[Look], values: np.ndarray, noise: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first arm of those left, and by how much its mean exceeds each other's: low, high.

    Repeated intervals [..., arms] of all pairs at once at 1 − alpha, each with the seeds up to the
    look at which the other arm had its last, that both have.
    """
    last, arms = last_place(question, looks), looks[-1].arms
    left = (arms.n == arms.n.max(-1, keepdims=True)) & np.isfinite(arms.mean)
    first = np.argmax(np.where(left, arms.mean, -np.inf), axis=-1)
    if question.anytime:
        return first, *_by_bets(question, arms, first)
    z = _boundaries(question, level_of_pairs(question.arms, question.alpha))
    low, high = np.full(last.shape, -np.inf), np.full(last.shape, np.inf)
    for place in range(len(looks)):
        seeds = question.looks[place]
        at = Arms.of(values[..., :seeds], noise, shares=question.shares)
        bounds = pair_bounds(at, np.full(first.shape, z[place]))
        rows = np.take_along_axis(bounds, first[..., None, None], -2)[..., 0, :]
        columns = np.take_along_axis(bounds, first[..., None, None], -1)[..., 0]
        low, high = np.where(last == place, rows, low), np.where(last == place, -columns, high)
    itself = np.arange(question.arms) == first[..., None]
    return first, np.where(itself, 0.0, low), np.where(itself, 0.0, high)


def _by_bets(question: Question, arms: Arms, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds [..., arms] of the first arm minus each."""
    low, high = np.empty(arms.n.shape), np.empty(arms.n.shape)
    level, own = question.alpha / (question.arms * (question.arms - 1)), np.eye(question.arms)
    for one in range(question.arms):
        here = first == one
        weights = own[one] - own
        weights[one] = own[one]  # itself: any, and 0 is put there
        _, below, above = by_bets(question, arms, weights, level)
        low, high = (np.where(here[..., None], *of) for of in ((below, low), (above, high)))
        low[..., one], high[..., one] = (np.where(here, 0.0, of[..., one]) for of in (low, high))
    return low, high


def _with_one_more(arms: Arms, value: float, z: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means and bounds [..., arms] as if each arm had one more seed, of this value.

    Times are skewed: where most runs never end before the cut, the few that would are seldom seen.
    """
    n, away = arms.n, value - arms.mean
    variance = ((n - 1) * arms.variance + n / (n + 1) * away**2) / n
    more = Arms(n + 1, arms.mean + away / (n + 1), variance, arms.noise)
    return weighted_bounds(more, np.eye(n.shape[-1]), z)


def _boundaries(question: Question, level: float) -> tuple[float, ...]:
    return by_spending(question.spending, level, tuple(map(float, question.looks)))
