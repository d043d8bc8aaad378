"""Arms of a plan: their levels, what the store has of their points, and seeds nobody has used."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from study.config.setup import set_up
from study.design.problems import of_problem
from study.design.ranking import RANKED_BY
from study.interfaces import Point, TaskFacts
from study.launch.plan import Plan
from study.records import StudyError
from study.store import Store
from study.store.ends import with_ends
from study.store.search import SearchStore


def arm_of(labels: Mapping[str, Any], plan: Plan) -> tuple[Any, ...]:
    """The levels of all factors."""
    return tuple(labels[key] for key in plan.factors)


def arms_of(plan: Plan) -> list[tuple[Any, ...]]:
    """The arms of a plan in declared order."""
    return list(dict.fromkeys(arm_of(point.labels, plan) for point in plan.points))


def facts_of_problem(plan: Plan, what: str, verb: str) -> TaskFacts:
    """The facts of the only task. Raises StudyError if arms are about several problems."""
    facts = {
        str(point.labels["task"]): set_up(point.config).task.facts
        for point in {str(point.labels["task"]): point for point in plan.points}.values()
    }
    keys = of_problem(plan.factors, {name for one in facts.values() for name in one.choices})
    for key in keys:
        there = list(dict.fromkeys(str(point.labels[key]) for point in plan.points))
        if len(there) > 1:
            raise StudyError(
                f"{what} of several tasks have no common score; {verb} them one by one, such"
                f" as {key}={there[0]}"
            )
    return next(iter(facts.values()))


def stored_points(plan: Plan, store: Store, points: Iterable[Point]) -> pd.DataFrame:
    """Stored points with the number of their arm (`arms_of`), seed, and what ranks them.

    Those that are not stored, or failed, are left out.
    """
    arms = {arm: number for number, arm in enumerate(arms_of(plan))}
    rows = [
        {**Store.known(store.result(point.id)["row"]), "arm": arms[arm_of(point.labels, plan)]}
        for point in points
        if store.status(point.id) not in (None, "failed")
    ]
    made = pd.DataFrame(rows).reindex(columns=["id", "task", "arm", "seed", "seconds", *RANKED_BY])
    return with_ends(store, made, {"": vars(set_up(plan.points[0].config).task.facts)})


def fresh_seeds(store: Store, plan: Plan, count: int) -> list[int]:
    """The next `count` seeds that neither the study nor its search has used."""
    used = {point.seed for point in plan.points} | {
        int(store.result(id)["row"].get("seed") or 0) for id in store.ids()
    }
    used |= searched_seeds(store, plan)
    return list(range(max(used) + 1, max(used) + 1 + count))


def searched_seeds(store: Store, plan: Plan) -> set[int]:
    """The seeds of the study's own search, and of the search that chose its settings."""
    return seeds_of_search(store, "search") | seeds_of_search(store, plan.settings.study.search)


def seeds_of_search(store: Store, folder: str | None) -> set[int]:
    """The seeds of a search in a folder beside the study's results; none without one."""
    # The study's own folder, which the path goes through, need not be there yet.
    there = os.path.normpath(store.folder / folder) if folder else None
    summary = SearchStore(there).summary() if there else None
    return {int(seed) for seed in (summary or {}).get("seeds", [])}


def levels_of(arms: Sequence[tuple[Any, ...]], plan: Plan) -> list[dict[str, Any]]:
    """The arms as {factor: level}."""
    return [dict(zip(plan.factors, arm, strict=True)) for arm in arms]
