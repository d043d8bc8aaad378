"""Means of the arms that a race names, less what being named flatters them by.

The best of several means is too high, the more so the nearer its rivals are; stopping early adds to
it. How much depends on the true means, so races are simulated from means that would show the
observed ones, rank by rank, on average (Whitehead 1986, of one mean after a sequential test), and
the excess of the arms that they name is taken off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from study.racing.intervals import Arms
from study.racing.question import Question
from study.racing.race import CHOSEN, OUT, Look, race

ROUNDS = 4  # from the observed means towards those that would show them


def named(looks: Sequence[Look]) -> np.ndarray:
    """[..., arms]: those that a race names: the chosen, else the one with the best mean of those
    left.
    """
    last = looks[-1]
    left = (last.standing != OUT) & np.isfinite(last.arms.mean)
    best = np.argmax(np.where(left, last.arms.mean, -np.inf), axis=-1)
    leader = np.arange(left.shape[-1]) == best[..., None]
    chosen = last.standing == CHOSEN
    return np.where(chosen.any(-1, keepdims=True), chosen, leader)


def flattery(question: Question, arms: Arms, *, races: int, seed: int) -> float:
    """By how much the mean of an arm that such a race names is too high, on average.

    `arms`: [arms] as a race between them left them, with two seeds or more. `races`: simulated in
    each of `ROUNDS` rounds. The noise of the validation examples is no part of it: the arms' values
    are about those examples.
    """
    generator = np.random.default_rng(seed)
    order = np.argsort(arms.mean, kind="stable")
    observed, spread = arms.mean[order], np.sqrt(np.nan_to_num(arms.variance))[order]
    draws = generator.standard_normal((races, question.arms, question.looks[-1]))
    if question.shares:
        draws = generator.random(draws.shape)
    truth, excess = observed, 0.0
    for _ in range(ROUNDS):
        values = (
            (draws < truth[:, None]).astype(float)
            if question.shares
            else truth[:, None] + spread[:, None] * draws
        )
        looks = race(question, question.possible(values), arms.noise[order])
        means, chosen = looks[-1].arms.mean, named(looks)
        excess = float((means - truth)[chosen].mean())
        # Means that are less far apart where noise has parted them; never in another order.
        shown = np.sort(means, axis=-1).mean(0)
        truth = _ordered(truth + observed - shown)
        if question.shares:
            truth = np.clip(truth, 0.0, 1.0)
    return excess


def _ordered(values: np.ndarray) -> np.ndarray:
    """The nondecreasing numbers nearest to these, by least squares (pool adjacent violators)."""
    blocks: list[list[float]] = []
    for value in values:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            mean, count = blocks.pop()
            before, number = blocks.pop()
            total = number + count
            blocks.append([(before * number + mean * count) / total, total])
    return np.concatenate([np.full(int(count), mean) for mean, count in blocks])
