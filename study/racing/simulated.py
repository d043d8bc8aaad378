"""Races on numbers whose truth is known: wrong decisions, and runs against equal seeds for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from study.racing.question import Question
from study.racing.race import ABOVE, ANSWERED, BELOW, CHOSEN, OUT, SMALL, Look, fixed, race, runs

POWER_LOST = 0.005  # by which a fixed design may separate or answer less often


@dataclass(frozen=True)
class Rehearsal:
    """Of simulated races: runs of each, share with a wrong decision, share answered, and the seeds
    per arm with which a fixed design separates as many arms and answers as often; None if that
    takes more than `most`.
    """

    runs: np.ndarray
    wrong: float
    answered: float
    fixed: int | None


def rehearse(
    question: Question,
    truth: np.ndarray,
    spread: np.ndarray,
    noise: np.ndarray | float = 0.0,
    *,
    races: int,
    seed: int,
    most: int,
) -> Rehearsal:
    """Race normal scores with these true means and spreads over seeds [arms]; shares: by chance.

    `noise`: variance [arms] of the means over validation examples, which decisions allow for.
    `most`: seeds per arm that the fixed design may take, at least those of the last look.
    """
    generator = np.random.default_rng(seed)
    shape = (races, question.arms, most)
    if question.shares:
        values = (generator.random(shape) < truth[:, None]).astype(float)
    else:
        values = truth[:, None] + spread[:, None] * generator.standard_normal(shape)
    values = question.possible(values)
    looks = race(question, values, noise)
    return Rehearsal(
        runs(looks),
        float(wrong(question, truth, looks[-1]).any(-1).mean()),
        float((looks[-1].ended == ANSWERED).mean()),
        fixed_seeds(question, truth, looks[-1], values, noise),
    )


def wrong(question: Question, truth: np.ndarray, last: Look) -> np.ndarray:
    """[races, decisions]: which decisions contradict the true means [arms].

    Between arms: one that is, or ties with, a sought arm is out, or one is chosen that is worse
    than a sought arm by more than delta. Else: a verdict on the wrong side.
    """
    if question.between:
        worst = np.sort(truth)[-question.top]
        sought_out = (last.standing == OUT) & (truth >= worst)
        too_bad = (last.standing == CHOSEN) & (truth < worst - question.delta - 1e-12)
        return np.concatenate([sought_out, too_bad], -1)
    gaps = question.matrix @ truth - question.threshold
    verdicts = last.verdicts
    return np.asarray(
        ((verdicts == ABOVE) & (gaps <= 0))
        | ((verdicts == BELOW) & (gaps >= 0))
        | ((verdicts == SMALL) & (np.abs(gaps) > question.delta + 1e-12))
        & (question.decide != "precision")
    )


def fixed_seeds(
    question: Question,
    truth: np.ndarray,
    last: Look,
    values: np.ndarray,
    noise: np.ndarray | float = 0.0,
) -> int | None:
    """The fewest seeds everywhere that decide as much, rightly, and answer as often.

    `values`: those of the races. None: not even all of them do.
    """
    power = _power(question, truth, last)
    if (power <= POWER_LOST).all():
        return question.looks[-1]  # nothing is decided: by as many seeds everywhere neither

    def reached(seeds: int) -> bool:
        own = race(fixed(question, seeds), values, noise)[-1]
        return bool(np.all(_power(question, truth, own) >= power - POWER_LOST))

    low, high = 1, values.shape[-1]
    if not reached(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _power(question: Question, truth: np.ndarray, last: Look) -> np.ndarray:
    """Share of decisions that are made and right, and of races that are answered."""
    if question.between:
        made = (last.standing == OUT) & (truth < np.sort(truth)[-question.top])
    else:
        made = (last.verdicts > 0) & (last.verdicts <= SMALL) & ~wrong(question, truth, last)
    return np.array([made.mean(), (last.ended == ANSWERED).mean()])
