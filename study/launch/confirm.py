"""hydra/sweeper=confirm: train the best arms of a complete study again, on fresh seeds.

The arms were chosen by the study's own seeds, so only fresh seeds give an unbiased score.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.config_loader import ConfigLoader

from study.config.compose import Combination, Sweep, compose_all
from study.config.setup import set_up
from study.design.problems import of_problem
from study.design.ranking import RANKED_BY, best_first
from study.launch.plan import Plan, make_plan
from study.launch.run import run
from study.records import StudyError
from study.store import Store
from study.store.ends import with_ends
from study.store.search import SearchStore


def confirm(loader: ConfigLoader, config_name: str, sweep: Sweep, experiment: str | None) -> int:
    """Train the best arms and return the exit status.

    The rest of the command is the study's; `study.confirm` has the numbers of arms and seeds.
    Results go to outputs/NAME/NAME-confirm, a separate study that the report of NAME reads. Raises
    StudyError before anything is written unless every point of the command is stored already.
    """
    combinations = compose_all(loader, config_name, sweep)
    plan = make_plan(combinations, sweep, experiment)
    store = Store(plan.folder)
    settings = plan.settings.study.confirm
    for key, least in (("arms", 1), ("seeds", 2)):
        if (value := getattr(settings, key)) < least:
            raise StudyError(f"study.confirm.{key}: must be at least {least}, got {value}")
    arms = best_arms(plan, store)[: settings.arms]
    seeds = fresh_seeds(store, plan, settings.seeds)
    again = Sweep(
        {**sweep.factors, "seed": [str(seed) for seed in seeds]},
        [line for line in sweep.fixed if line.split("=")[0] != "seed"],
    )
    kept = [
        _renamed(combination, plan)
        for combination in compose_all(loader, config_name, again)
        if _arm(combination.labels, plan) in arms
    ]
    return run(make_plan(kept, again, experiment))


def best_arms(plan: Plan, store: Store) -> list[tuple[Any, ...]]:
    """The levels of all arms in the order in which the report recommends them."""
    missing = len([point for point in plan.points if plan.stored.get(point.id) in (None, "failed")])
    if missing:
        launches = store.study()["launches"] if (store.folder / "study.json").exists() else []
        trained = f"; it was last trained with: {launches[-1]['command']}" if launches else ""
        raise StudyError(
            f"{store.folder}: {missing} of the {len(plan.points)} points of this command are not"
            " stored, so its best arms are not known. Confirm a study that is complete, with the"
            f" settings it was trained with{trained}"
        )
    seeds = sorted({point.seed for point in plan.points})
    trained_with = store.study()["declaration"]["seeds"]
    if seeds != sorted(trained_with):
        raise StudyError(
            "seed: the best arms are chosen by all seeds of the study"
            f" ({', '.join(map(str, trained_with))}), not by {', '.join(map(str, seeds))}; leave"
            " seed out"
        )
    facts = {
        str(point.labels["task"]): set_up(point.config).task.facts
        for point in {str(point.labels["task"]): point for point in plan.points}.values()
    }
    keys = of_problem(plan.factors, {name for one in facts.values() for name in one.choices})
    for key in keys:
        there = list(dict.fromkeys(str(point.labels[key]) for point in plan.points))
        if len(there) > 1:
            raise StudyError(
                "confirm: arms of several tasks have no common score; confirm them one by one, such"
                f" as {key}={there[0]}"
            )
    arms = list(dict.fromkeys(_arm(point.labels, plan) for point in plan.points))
    number = {point.id: arms.index(_arm(point.labels, plan)) for point in plan.points}
    rows = [{**Store.known(store.result(id)["row"]), "arm": arm} for id, arm in number.items()]
    points = pd.DataFrame(rows).reindex(columns=["id", "task", "arm", *RANKED_BY])
    one = next(iter(facts.values()))
    points = with_ends(store, points, {"": vars(one)})
    order = best_first(points, higher_is_better=one.higher_is_better)
    if not order:
        raise StudyError(
            f"{store.folder}: no point has a validation score, so there is no best arm"
        )
    return [arms[arm] for arm in order]


def fresh_seeds(store: Store, plan: Plan, count: int) -> list[int]:
    """The next `count` seeds that neither the study nor its search has used."""
    used = {point.seed for point in plan.points} | {
        int(store.result(id)["row"].get("seed") or 0) for id in store.ids()
    }
    folder = plan.settings.study.search
    for search in (store.folder / "search", *([store.folder / folder] if folder else [])):
        found = SearchStore(search).summary()
        used |= {int(seed) for seed in (found or {}).get("seeds", [])}
    return list(range(max(used) + 1, max(used) + 1 + count))


def _arm(labels: Mapping[str, Any], plan: Plan) -> tuple[Any, ...]:
    return tuple(labels[key] for key in plan.factors)


def _renamed(combination: Combination, plan: Plan) -> Combination:
    study = {
        **combination.config["study"],
        "title": f"{combination.config['study']['title'] or plan.name}, confirmed",
        "claims": [],
        "contrasts": [],
    }
    name = f"{plan.name}-confirm"
    folder = str(Path(combination.config["store"]["folder"]) / plan.name)
    return Combination(
        config={
            **combination.config,
            "name": name,
            "study": study,
            "store": {**combination.config["store"], "folder": folder},
        },
        labels=combination.labels,
    )
