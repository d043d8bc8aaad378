"""From the settings study.certain to a question. Every mistake is found before anything trains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from study.racing.boundaries import SPENDING
from study.racing.intervals import Arms, pair_bounds, weighted_bounds
from study.racing.question import BETWEEN, DECIDE, Question
from study.records import StudyError

METHODS = ("group_sequential", "anytime")
BY = ("score", "solved", "time")
LEAST = 2  # seeds of an arm that say anything of its spread
NODE = "study.certain"


def planned_looks(settings: Mapping[str, Any], declared: int) -> tuple[int, ...]:
    """Seeds per arm at each look: the declared ones, then those of `looks`, then max_seeds.

    Raises StudyError.
    """
    looks, most = settings["looks"], settings["max_seeds"]
    whole = isinstance(looks, Sequence) and all(type(one) is int for one in looks)
    if not whole or sorted(set(looks)) != list(looks) or (looks and looks[0] < LEAST):
        raise StudyError(
            f"{NODE}.looks: must be increasing whole numbers of seeds from {LEAST} on, got"
            f" {list(looks) if isinstance(looks, Sequence) else looks!r}"
        )
    if most <= declared:
        raise StudyError(
            f"{NODE}.max_seeds: must be more than the {declared} seeds that are declared, which"
            f" every arm gets, got {most}"
        )
    first = declared if declared >= LEAST else max(LEAST, next(iter(looks), LEAST))
    return tuple(dict.fromkeys((first, *(one for one in looks if first < one < most), most)))


def question_of(
    settings: Mapping[str, Any],
    arms: int,
    declared: int,
    contrasts: Sequence[tuple[str, str, Sequence[float]]],
    *,
    higher_is_better: bool,
) -> Question:
    """The question that settings ask about so many arms. Raises StudyError.

    `declared`: number of seeds that are declared. `contrasts`: name, measure (`by`) and weights
    over the arms of each declared contrast.
    """
    decide, by, delta = settings["decide"], settings["by"], settings["delta"]
    spendings = [(key, SPENDING) for key in ("spending", "dropping")]
    for key, allowed in (("decide", DECIDE), ("method", METHODS), ("by", BY), *spendings):
        if settings[key] not in allowed:
            raise StudyError(f"{NODE}.{key}: must be {_either(allowed)}, got {settings[key]!r}")
    if not (delta > 0 and math.isfinite(delta)):
        raise StudyError(
            f"{NODE}.delta: must be greater than 0, since arms that differ by nothing at all could"
            f" be told apart by no number of seeds, got {delta}"
        )
    if not 0 < settings["alpha"] <= 0.5:
        raise StudyError(
            f"{NODE}.alpha: must be greater than 0 and at most .5, got {settings['alpha']}"
        )
    if settings["max_hours"] is not None and not settings["max_hours"] > 0:
        raise StudyError(
            f"{NODE}.max_hours: must be greater than 0 or null, got {settings['max_hours']}"
        )
    if arms < 2 and decide in (*BETWEEN, "contrasts"):
        raise StudyError(
            f"{NODE}.decide: {decide} compares arms, and this study has one; declare several, or"
            " ask for precision or a threshold"
        )
    if decide == "top" and not 1 <= settings["top"] < arms:
        raise StudyError(
            f"{NODE}.top: must be at least 1 and fewer than the {arms} arms, got {settings['top']}"
        )
    if decide == "threshold" and settings["threshold"] is None:
        raise StudyError(f"{NODE}.threshold: must be a number for decide: threshold, got null")
    weights = _weights(settings, contrasts, higher_is_better) if decide == "contrasts" else ()
    sign = 1.0 if by == "solved" or (higher_is_better and by == "score") else -1.0
    made = Question(
        decide=decide,
        arms=arms,
        alpha=settings["alpha"],
        delta=delta,
        looks=planned_looks(settings, declared),
        spending=settings["spending"],
        dropping=settings["dropping"],
        top=settings["top"] if decide == "top" else 1,
        threshold=sign * settings["threshold"] if decide == "threshold" else 0.0,
        weights=weights,
        shares=by == "solved",
        times=by == "time",
        anytime=settings["method"] == "anytime",
        least=min(sign, 0.0),
    )
    if made.shares:
        _check_shares(made)
    return made


def _weights(
    settings: Mapping[str, Any],
    contrasts: Sequence[tuple[str, str, Sequence[float]]],
    higher_is_better: bool,
) -> tuple[tuple[float, ...], ...]:
    if not contrasts:
        raise StudyError(f"{NODE}.decide: contrasts needs study.contrasts, and none is declared")
    for name, by, weights in contrasts:
        if by != settings["by"]:
            raise StudyError(
                f"{NODE}.by: contrast {name} compares {by}, and a race decides by"
                f" {settings['by']}; all contrasts must compare the same, {_either(BY)}"
            )
        if not any(weights):
            raise StudyError(
                f"{NODE}.decide: contrast {name} compares no arms of this study: none are alike in"
                " everything but what it names"
            )
    return tuple(tuple(map(float, weights)) for _, _, weights in contrasts)


def _check_shares(question: Question) -> None:
    """Shares have a largest interval and a smallest, so some questions have no answer."""
    most, z = question.looks[-1], question.z[-1]
    where = f"with at most {most} seeds (study.certain.max_seeds) and alpha {question.alpha:g}"
    if question.between:
        apart = np.r_[1.0, np.zeros(question.arms - 1)]
        arms = _shares(apart, most)
        low = pair_bounds(arms, np.asarray(z[question.arms]))[0, 1]
        if low <= 0:
            raise StudyError(
                f"{NODE}: {where}, an arm that always solves the task and one that never does"
                " could not be told apart"
            )
        return
    arms = _shares(np.ones(question.arms), most)
    _, low, high = weighted_bounds(arms, question.matrix, float(z[0]))
    wide = float(((high - low) / 2).min())
    if question.decide == "precision" and wide > question.delta:
        raise StudyError(
            f"{NODE}.delta: {where}, no interval of a share of solved seeds is narrower than"
            f" ±{wide:.2g}, got {question.delta:g}"
        )


def _shares(means: np.ndarray, seeds: int) -> Arms:
    return Arms(np.full(means.shape, seeds), means, means * 0, means * 0, shares=True)


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
