"""A race of one study: its question, its seeds, and what the stored points say at each look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from study.config.setup import set_up
from study.design.outcomes import share_until_solved, solved_at_end
from study.design.power import is_share
from study.design.ranking import counted
from study.interfaces import Point, TaskFacts
from study.launch.arms import (
    arm_of,
    arms_of,
    facts_of_problem,
    levels_of,
    searched_seeds,
    seeds_of_search,
)
from study.launch.describe import weights_of
from study.launch.plan import Plan
from study.racing.adjusted import flattery, named
from study.racing.declared import NODE, question_of
from study.racing.intervals import Arms
from study.racing.question import Question
from study.racing.race import RUNNING, Look, compared, look, start
from study.racing.results import differences, means
from study.records import StudyError
from study.store import Store

WORDS = {0: "racing", 1: "out", 2: "chosen"}  # of arms
VERDICTS = {0: "undecided", 1: "above", 2: "below", 3: "too small to matter", 4: "out of reach"}
ADJUSTED_BY, SEED = 200, 2026  # simulated races a round
ENDS = {0: "running", 1: "answered", 2: "spent", 3: "out of reach"}


@dataclass(frozen=True)
class Race:
    """`arms`: levels of the plan's factors. `seeds`: the order in which arms get them.

    `examples`: size of the validation set if its noise is known and counted, else None.
    """

    plan: Plan
    question: Question
    settings: Mapping[str, Any]
    arms: Sequence[tuple[Any, ...]]
    seeds: Sequence[int]
    facts: TaskFacts
    examples: int | None

    @property
    def asked(self) -> dict[str, Any]:
        """What may not change while a race goes on: the promised error rate depends on it."""
        follow = {"arms", "shares", "times", "anytime", "least"}  # from what is below
        shown = {key: one for key, one in asdict(self.question).items() if key not in follow}
        names = [str(one["name"]) for one in self.plan.settings.study.contrasts]
        return {
            **shown,
            "method": self.settings["method"],
            "by": self.settings["by"],
            "examples": bool(self.settings["examples"]),
            "looks": list(self.question.looks),
            "weights": [list(row) for row in self.question.weights],
            "contrasts": names if self.question.decide == "contrasts" else [],
            "seeds": list(self.seeds),
            "arms": [{key: str(level) for key, level in one.items()} for one in self.levels],
        }

    @property
    def levels(self) -> list[dict[str, Any]]:
        return levels_of(self.arms, self.plan)

    @property
    def sign(self) -> float:
        if self.settings["by"] == "time":
            return -1.0
        return 1.0 if self.question.shares or self.facts.higher_is_better else -1.0

    @property
    def measure(self) -> str:
        """What is compared, in words."""
        return {
            "score": f"validation {self.facts.metric}",
            "solved": "share of solved seeds",
            "time": "share of the run until solved",
        }[self.settings["by"]]

    def values(self, points: pd.DataFrame) -> np.ndarray:
        """[arms, most seeds] of the plan's stored points; larger is better, NaN: not there."""
        found = np.full((len(self.arms), len(self.seeds)), np.nan)
        if self.question.shares:
            value = solved_at_end(points).astype(float)
        elif self.settings["by"] == "time":
            value = -share_until_solved(points, points["arm"].map(self._updates()))
        else:
            higher = self.facts.higher_is_better
            value = self.sign * counted(points, "val_score", higher_is_better=higher)
        place = {seed: number for number, seed in enumerate(self.seeds)}
        for arm, seed, one in zip(points["arm"], points["seed"], value, strict=True):
            if int(seed) in place:
                found[int(arm), place[int(seed)]] = one
        return found

    def _updates(self) -> dict[int, float]:
        """Planned updates by the number of the arm."""
        first = _first_of_each(self.plan, self.arms)
        return {arm: float(point.config["updates"]) for arm, point in enumerate(first)}

    def noise(self, values: np.ndarray) -> np.ndarray:
        """Variance [arms] of each mean over validation examples: of a share, p (1 − p) / examples.

        The arms see the same examples, which mostly makes differences less noisy than this.
        """
        if self.examples is None or self.question.shares:
            return np.zeros(len(values))
        total = np.nansum(values, axis=1) / np.maximum(np.isfinite(values).sum(1), 1)
        share = (np.clip(np.abs(total), 0, 1) * self.examples + 1) / (self.examples + 2)
        return np.asarray(share * (1 - share) / self.examples)

    def at(self, values: np.ndarray, n: np.ndarray) -> Arms:
        """The arms with their first `n` [arms] seeds."""
        seen = np.where(np.arange(values.shape[1]) < n[:, None], values, np.nan)
        return Arms.of(seen, self.noise(seen), shares=self.question.shares)

    def look(self, before: Look | None, values: np.ndarray, n: np.ndarray, place: int) -> Look:
        """The next look, at which the arms have `n` seeds."""
        arms = self.at(values, n)
        if (arms.n == 0).any():
            arm = self.levels[int(np.argmin(arms.n))]
            raise StudyError(
                f"{self.plan.folder}: {', '.join(f'{key}={one}' for key, one in arm.items())} has"
                " no validation score, so it cannot be raced; leave it out (study.exclude)"
            )
        return look(self.question, before or start(self.question, arms), arms, place)

    def wanted(self, now: Look | None, n: np.ndarray, place: int) -> np.ndarray:
        """Seeds [arms] that the arms have at a look: those that race get the next ones.

        `n`: seeds that they had before.
        """
        if now is None:
            return np.full(len(self.arms), self.question.looks[place])
        return np.where(now.standing == 0, self.question.looks[place], n)

    def state(
        self, looks: Sequence[Look], points: pd.DataFrame, ended: str | None
    ) -> dict[str, Any]:
        """What certain.json holds: the question, every look, how it ended and what it cost."""
        written = []
        for number in range(len(looks)):
            low, high = means(self.question, looks[: number + 1])
            written.append(self._look(looks[number], number, low, high))
        last = looks[-1] if looks else None
        end = ended or (ENDS[int(last.ended)] if last is not None else ENDS[RUNNING])
        used = points[points["seed"].isin(self.seeds)]
        return {
            "asked": self.asked,
            "holdout": bool(self.settings["holdout"]),
            "metric": self.facts.metric,
            "higher_is_better": bool(self.sign > 0),
            "examples": self.examples,
            "looks": written,
            "ended": end,
            "limit": self._limit(last) if last is not None else None,
            "runs": int(last.arms.n.sum()) if last is not None else 0,
            "seconds": float(used["seconds"].astype(float).sum()),
        }

    def _limit(self, last: Look) -> float | None:
        """What the validation examples leave open, ±, however many seeds: between the two best
        arms, or in the least certain comparison. None if their noise is not counted.
        """
        noise, question = np.asarray(last.arms.noise), self.question
        if self.examples is None or question.shares:
            return None
        if question.between:
            best = np.argsort(-np.nan_to_num(last.arms.mean, nan=-np.inf))[:2]
            return float(question.z_close[-1][question.arms] * np.sqrt(noise[best].sum()))
        return float(question.z[-1][0] * np.sqrt((noise @ question.matrix.T**2).max()))

    def _look(self, now: Look, place: int, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
        ends = (low, high) if self.sign > 0 else (-high, -low)
        question, comparisons = self.question, {}
        if not question.between:
            found = compared(question, now.arms, place)
            if question.decide == "precision" and self.sign < 0:
                found = -found[0], -found[2], -found[1]
            names = ("estimate", "from", "to")  # of better minus worse; of precision, the mean
            comparisons = {
                name: [_plain(one) for one in of - question.threshold]
                for name, of in zip(names, found, strict=True)
            }
        return {
            "seeds": question.looks[place],
            **comparisons,
            "n": now.arms.n.tolist(),
            "mean": [_plain(one) for one in self.sign * now.arms.mean],
            "variance": [_plain(one) for one in now.arms.variance],
            "low": [_plain(one) for one in ends[0]],
            "high": [_plain(one) for one in ends[1]],
            "standing": [WORDS[int(one)] for one in now.standing],
            "verdicts": [VERDICTS[int(one)] for one in now.verdicts],
            "ended": ENDS[int(now.ended)],
        }

    def adjusted(self, looks: Sequence[Look]) -> dict[str, Any]:
        """What being named flatters an arm by, simulated, and the means of those that the race
        names less that: [arms], None for the others.
        """
        arms = looks[-1].arms
        excess = flattery(self.question, arms, races=ADJUSTED_BY, seed=SEED)
        means = np.where(named(looks), arms.mean - excess, np.nan)
        return {"by": excess, "means": [_plain(self.sign * one) for one in means]}

    def behind(self, looks: Sequence[Look], values: np.ndarray) -> dict[str, Any]:
        """By how much the first arm is better than each: number of the first, low, high."""
        first, low, high = differences(self.question, looks, values, self.noise(values))
        return {
            "first": int(first),
            "low": [_plain(one) for one in low],
            "high": [_plain(one) for one in high],
        }


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def race_of(plan: Plan) -> Race:
    """The race that a plan of the declared seeds begins. Raises StudyError; writes nothing."""
    store, study = Store(plan.folder), plan.settings.study
    settings = asdict(study.certain)
    facts = facts_of_problem(plan, "certain: arms", "race")
    arms = arms_of(plan)
    declared = list(dict.fromkeys(point.seed for point in plan.points))
    if used := sorted(set(declared) & seeds_of_search(store, study.search)):
        raise StudyError(
            f"seed: {', '.join(map(str, used))} had a part in the search that chose the settings"
            f" (study.search: {study.search}), so their scores are flattered. Declare other seeds"
        )
    levels = [dict(point.labels) for point in _first_of_each(plan, arms)]
    contrasts = [
        (str(one["name"]), str(one["by"]), weights_by_arm(levels, plan, one))
        for one in study.contrasts
    ]
    question = question_of(
        settings, len(arms), len(declared), contrasts, higher_is_better=facts.higher_is_better
    )
    if settings["by"] != "score" and facts.solved is None:
        raise StudyError(
            f"{NODE}.by: {settings['by']} needs a task with a rule for solved, and this has none"
        )
    if question.anytime and settings["by"] == "score" and not is_share(facts.metric):
        raise StudyError(
            f"{NODE}.method: anytime needs scores between 0 and 1, and the {facts.metric} of this"
            " task has no such ends; method: group_sequential takes any score"
        )
    if study.certain.confirm:
        for key, least in (("arms", 1), ("seeds", 2)):
            if (value := getattr(study.confirm, key)) < least:
                raise StudyError(f"study.confirm.{key}: must be at least {least}, got {value}")
    start_at = max({*declared, *searched_seeds(store, plan)}) + 1
    seeds = [*declared, *range(start_at, start_at + question.looks[-1] - len(declared))]
    return Race(plan, question, settings, arms, seeds, facts, _examples(plan, settings, facts))


def _first_of_each(plan: Plan, arms: Sequence[tuple[Any, ...]]) -> list[Point]:
    first: dict[tuple[Any, ...], Point] = {}
    for point in plan.points:
        first.setdefault(arm_of(point.labels, plan), point)
    return [first[arm] for arm in arms]


def weights_by_arm(
    levels: Sequence[Mapping[str, Any]], plan: Plan, contrast: Mapping[str, Any]
) -> list[float]:
    """The weight of each arm's mean in a declared contrast; all 0 if no arms match."""
    found = weights_of(
        levels, plan.factors, contrast["first"], contrast["second"], contrast.get("when", {})
    )
    return [found.get(arm, 0.0) for arm in range(len(levels))]


def _examples(plan: Plan, settings: Mapping[str, Any], facts: TaskFacts) -> int | None:
    """Size of the smallest validation set if scores are shares of its examples."""
    by_example = all(one["by_example"] for one in facts.metrics[:1])
    counts = settings["examples"] and settings["by"] == "score"
    if not counts or not (is_share(facts.metric) and by_example):
        return None
    tasks = dict.fromkeys(set_up(point.config).task for point in plan.points)
    return min(len(task.split("validation").x) for task in tasks)
