"""hydra/sweeper=confirm: the best arms of a study that has run, trained again on fresh seeds, so
that nothing was chosen by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.config_loader import ConfigLoader

from study.config.compose import Combination, Sweep, compose_all
from study.config.setup import set_up
from study.design.ranking import best_first
from study.launch.plan import Plan, make_plan
from study.launch.run import run
from study.records import StudyError
from study.store import Store
from study.store.search import SearchStore


def confirm(loader: ConfigLoader, config_name: str, of: Sweep, experiment: str | None) -> int:
    """Train the arms and return the exit status.

    The command is the study's own; `study.confirm` has the numbers of arms and seeds.

    Results go to outputs/NAME/NAME-confirm, a study of its own that the report of NAME reads.
    Raises StudyError before anything is written where the command is not the study's: every arm
    must be stored already, point by point.
    """
    combinations = compose_all(loader, config_name, of)
    plan = make_plan(combinations, of, experiment)
    store = Store(plan.folder)
    settings = plan.settings.study.confirm
    for key, least in (("arms", 1), ("seeds", 2)):
        if (came := getattr(settings, key)) < least:
            raise StudyError(f"study.confirm.{key}: must be at least {least}, got {came}")
    arms = best_arms(plan, store)[: settings.arms]
    seeds = fresh_seeds(store, plan, settings.seeds)
    again = Sweep(
        {**of.factors, "seed": [str(seed) for seed in seeds]},
        [line for line in of.fixed if line.split("=")[0] != "seed"],
    )
    kept = [
        _renamed(one, plan)
        for one in compose_all(loader, config_name, again)
        if _arm(one.labels, plan) in arms
    ]
    return run(make_plan(kept, again, experiment))


def best_arms(plan: Plan, store: Store) -> list[tuple[Any, ...]]:
    """Levels of the arms, best mean validation score first."""
    missing = len([point for point in plan.points if plan.stored.get(point.id) in (None, "failed")])
    if missing:
        launches = store.study()["launches"] if (store.folder / "study.json").exists() else []
        trained = f"; it was last trained with: {launches[-1]['command']}" if launches else ""
        raise StudyError(
            f"{store.folder}: {missing} of the {len(plan.points)} points of this command are not"
            " stored, so its best arms are not known. Confirm a study that is complete, with the"
            f" settings it was trained with{trained}"
        )
    seeds, trained_with = (
        sorted({point.seed for point in plan.points}),
        store.study()["declaration"]["seeds"],
    )
    if seeds != sorted(trained_with):
        raise StudyError(
            "seed: best arms are chosen by all seeds of the study"
            f" ({', '.join(map(str, trained_with))}), not by {', '.join(map(str, seeds))}; leave"
            " it out"
        )
    facts = [
        set_up(point.config).task.facts
        for point in {str(point.labels["task"]): point for point in plan.points}.values()
    ]
    if len(facts) > 1:
        raise StudyError(
            "confirm: arms of several tasks have no common score; confirm them task by task, such"
            " as task=adding"
        )
    arms = list(dict.fromkeys(_arm(point.labels, plan) for point in plan.points))
    number = {point.id: arms.index(_arm(point.labels, plan)) for point in plan.points}
    rows = [{**Store.known(store.result(id)["row"]), "arm": arm} for id, arm in number.items()]
    points = pd.DataFrame(rows).reindex(columns=["arm", "status", "val_score", "baseline"])
    order = best_first(points, higher_is_better=facts[0].higher_is_better)
    if not order:
        raise StudyError(
            f"{store.folder}: no point has a validation score, so there is no best arm"
        )
    return [arms[arm] for arm in order]


def fresh_seeds(store: Store, plan: Plan, count: int) -> list[int]:
    """The first seeds after all that the study or its search have used."""
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


def _renamed(one: Combination, plan: Plan) -> Combination:
    study = {
        **one.config["study"],
        "title": f"{one.config['study']['title'] or plan.name}, confirmed",
        "claims": [],
        "contrasts": [],
    }
    name, folder = f"{plan.name}-confirm", str(Path(one.config["store"]["folder"]) / plan.name)
    return Combination(
        config={
            **one.config,
            "name": name,
            "study": study,
            "store": {**one.config["store"], "folder": folder},
        },
        labels=one.labels,
    )
