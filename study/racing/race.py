"""One look at a race, or at thousands of simulated ones: who is out, in, or needs more seeds.

Between arms the tests are closed (Marcus, Peritz & Gabriel 1976; with looks, Tang & Geller 1999):
every set of arms has a group-sequential test of its own, so the boundary falls as arms leave. Each
decision is read off the repeated interval of a difference (Jennison & Turnbull 1989).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from study.racing.anytime import bounds, pairs_above
from study.racing.intervals import Arms, pair_bounds, weighted_bounds
from study.racing.question import Question

# Of arms between which a question is; `RACING` is undecided.
RACING, OUT, CHOSEN = 0, 1, 2
# Of comparisons: undecided, above 0, below 0, within delta (or as precise), out of reach.
UNDECIDED, ABOVE, BELOW, SMALL, HOPELESS = 0, 1, 2, 3, 4
# Of races.
RUNNING, ANSWERED, SPENT, OUT_OF_REACH = 0, 1, 2, 3
LIKELY = 1.96  # z of the interval in which a difference is expected to stay


@dataclass(frozen=True)
class Look:
    """The state of races [...] after a look.

    `arms`: [..., arms] as they were when each had its last seed. `standing`: RACING, OUT or CHOSEN;
    of a question that is not between arms, RACING where an arm gets more seeds. `verdicts`:
    [..., comparisons]. `ended`: [...].
    """

    arms: Arms
    standing: np.ndarray
    verdicts: np.ndarray
    ended: np.ndarray


def start(question: Question, arms: Arms) -> Look:
    """Before the first look."""
    shape = arms.n.shape[:-1]
    comparisons = 0 if question.between else len(question.matrix)
    return Look(
        arms,
        np.zeros(arms.n.shape, int),
        np.zeros((*shape, comparisons), int),
        np.zeros(shape, int),
    )


def look(question: Question, before: Look, arms: Arms, place: int) -> Look:
    """The state after look number `place`. `arms`: all arms, with the seeds that each has."""
    decide = _between if question.between else _comparisons
    after = decide(question, before, arms, place)
    ended = np.where(before.ended != RUNNING, before.ended, after.ended)
    if place == len(question.looks) - 1:
        ended = np.where((ended == RUNNING) | (ended == OUT_OF_REACH), SPENT, ended)
    return replace(after, arms=arms, ended=ended)


def _between(question: Question, before: Look, arms: Arms, place: int) -> Look:
    standing = before.standing
    while True:  # fewer arms have a lower boundary, at the same look as well
        left = standing == RACING
        members = left.sum(-1)
        places = question.top - (standing == CHOSEN).sum(-1)
        above = _above(question, arms, left, place, 0.0)
        out = left & (above.sum(-2) >= places[..., None])
        chosen = left & (above.sum(-1) >= (members - places)[..., None]) & ~out
        if not (out | chosen).any():
            break
        standing = np.where(out, OUT, np.where(chosen, CHOSEN, standing))
    open_places = question.top - (standing == CHOSEN).sum(-1)
    first = _first(arms.mean, left, open_places)
    rest = left & ~first
    pairs = first[..., :, None] & rest[..., None, :]
    no_worse = _above(question, arms, left, place, -question.delta, close=True)
    close = (no_worse | ~pairs).all((-1, -2))
    done = (open_places == 0) | (left.sum(-1) <= open_places)
    answered = done | close
    hopeless = np.zeros(answered.shape, bool)
    if not question.anytime:  # bets end nowhere
        hopeless = ~answered & _hopeless_pairs(question, arms, left, pairs)
    standing = np.where(answered[..., None] & first, CHOSEN, standing)
    ended = np.where(answered, ANSWERED, np.where(hopeless, OUT_OF_REACH, RUNNING))
    return Look(arms, standing, before.verdicts, ended)


def _above(
    question: Question, arms: Arms, left: np.ndarray, place: int, gap: float, *, close: bool = False
) -> np.ndarray:
    """[..., i, j]: whether mean i − mean j is shown to be above `gap`, of arms that are left."""
    members = left.sum(-1)
    if not question.anytime:
        z = question.z_close if close else question.z
        lowest = _among(left, pair_bounds(arms, z[place][members]))
        return lowest >= gap if close else lowest > gap
    assert arms.values is not None
    level = question.level(members, close=close)[..., None, None]
    noise = arms.noise[..., :, None] + arms.noise[..., None, :]
    if noise.any():  # half of the level for seeds, half for examples
        level = level / 2
    gaps = gap - special.ndtri(level) * np.sqrt(noise)
    shown = pairs_above(arms.values, gaps) >= -np.log(level)
    both = left[..., :, None] & left[..., None, :] & ~np.eye(left.shape[-1], dtype=bool)
    return np.asarray(shown & both)


def _hopeless_pairs(
    question: Question, arms: Arms, left: np.ndarray, pairs: np.ndarray
) -> np.ndarray:
    """Whether with as many seeds as may be, no leader would differ from an arm behind it, and some
    interval would still be wider than delta; as far as the present spread can tell.
    """
    members = left.sum(-1)
    last, z = len(question.looks) - 1, np.full(members.shape, LIKELY)
    most = pair_bounds(arms.with_seeds(question.looks[-1]), question.z[last][members])
    best = pair_bounds(arms.with_seeds(question.looks[-1]), question.z_close[last][members])
    difference = arms.mean[..., :, None] - arms.mean[..., None, :]
    # Where noise of the examples would end up is fixed, and no seed moves a difference by it.
    by_seeds = pair_bounds(replace(arms, noise=np.zeros(arms.n.shape)), z)
    with np.errstate(invalid="ignore"):
        reach = np.maximum(-by_seeds, -np.swapaxes(by_seeds, -1, -2))  # most of |difference|
        stuck = (reach <= difference - most) | ~pairs
        wide = (np.where(pairs, difference - best, -np.inf) > question.delta).any((-1, -2))
    return stuck.all((-1, -2)) & wide


def _comparisons(question: Question, before: Look, arms: Arms, place: int) -> Look:
    matrix, offset, delta = question.matrix, question.threshold, question.delta
    last = float(question.z[-1][0])
    found, low, high = compared(question, arms, place)
    found, low, high = found - offset, low - offset, high - offset
    _, lowest, highest = weighted_bounds(arms.with_seeds(question.looks[-1]), matrix, last)
    none = replace(arms, noise=np.zeros(arms.n.shape))
    _, from_, to = weighted_bounds(none, matrix, LIKELY)
    with np.errstate(invalid="ignore"):
        limit = (highest - lowest) / 2
        if question.decide == "precision":
            new = np.where((high - low) / 2 <= delta, SMALL, UNDECIDED)
            by_noise = arms.noise @ (matrix.T**2)
            hopeless = last * np.sqrt(by_noise) > delta
        else:
            small = (low >= -delta) & (high <= delta)
            new = np.where(small, SMALL, np.where(low > 0, ABOVE, np.where(high < 0, BELOW, 0)))
            reach = np.maximum(np.abs(from_ - offset), np.abs(to - offset))
            hopeless = (reach <= limit) & (limit > delta)
    hopeless = hopeless & (not question.anytime)
    new = np.where((new == UNDECIDED) & hopeless, HOPELESS, new)
    verdicts = np.where(before.verdicts == UNDECIDED, new, before.verdicts)
    open_ = verdicts == UNDECIDED
    needed = (open_[..., :, None] & (matrix != 0)).any(-2)
    over = np.where((verdicts == HOPELESS).any(-1), OUT_OF_REACH, ANSWERED)
    return Look(
        arms, np.where(needed, RACING, OUT), verdicts, np.where(open_.any(-1), RUNNING, over)
    )


def compared(
    question: Question, arms: Arms, place: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, lower and upper bound [..., comparisons] at a look."""
    if not question.anytime:
        return weighted_bounds(arms, question.matrix, float(question.z[place][0]))
    assert arms.values is not None
    return by_bets(question, arms, question.matrix, question.alpha / (2 * len(question.matrix)))


def by_bets(
    question: Question, arms: Arms, weights: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, lower and upper bound [..., contrasts] of Σ w·mean, each side at `level`."""
    assert arms.values is not None
    noise = arms.noise @ weights.T**2
    if noise.any():  # half of the level for seeds, half for examples
        level = level / 2
    found, low, high = bounds(arms.values, weights, level, question.least)
    margin = -special.ndtri(level) * np.sqrt(noise)
    return found, low - margin, high + margin


def _among(members: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Bounds between members; −inf elsewhere."""
    both = members[..., :, None] & members[..., None, :]
    return np.where(both & ~np.isnan(bounds), bounds, -np.inf)


def _first(mean: np.ndarray, among: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The `count` [...] largest means among some arms, the earlier of equal ones."""
    order = np.argsort(-np.where(among & np.isfinite(mean), mean, -np.inf), axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    return among & (rank < count[..., None])


def race(question: Question, values: np.ndarray, noise: np.ndarray | float = 0.0) -> list[Look]:
    """Run races on given values [..., arms, seeds] to their ends; the state after every look.

    `values` beyond the seeds that an arm gets are not read.
    """
    n = np.zeros(values.shape[:-1], int)
    arms = Arms.of(values[..., : question.looks[0]], noise, shares=question.shares)
    now, looks = start(question, arms), []
    for place, seeds in enumerate(question.looks):
        running = now.ended == RUNNING
        n = np.where(running[..., None] & (now.standing == RACING), seeds, n)
        at = Arms.of(values[..., :seeds], noise, shares=question.shares)
        fresh = n == seeds
        arms = Arms(
            np.where(fresh, at.n, now.arms.n),
            np.where(fresh, at.mean, now.arms.mean),
            np.where(fresh, at.variance, now.arms.variance),
            at.noise,
            question.shares,
            np.where(np.arange(seeds) < n[..., None], values[..., :seeds], np.nan),
        )
        after = look(question, now, arms, place)
        now = Look(
            arms,
            np.where(running[..., None], after.standing, now.standing),
            np.where(running[..., None], after.verdicts, now.verdicts),
            np.where(running, after.ended, now.ended),
        )
        looks.append(now)
        if not (now.ended == RUNNING).any():
            break
    return looks


def fixed(question: Question, seeds: int) -> Question:
    """The same question, asked once with as many seeds for every arm."""
    return replace(question, looks=(seeds,))


def runs(looks: Sequence[Look]) -> np.ndarray:
    """How many networks each race has trained."""
    return np.asarray(looks[-1].arms.n.sum(-1))
