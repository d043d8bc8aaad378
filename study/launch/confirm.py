"""hydra/sweeper=confirm: train the best arms of a complete study again, on fresh seeds.

The arms were chosen by the study's own seeds, so only fresh seeds give an unbiased score.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader

from study.config.compose import Combination, Sweep, compose_all
from study.design.ranking import best_first
from study.launch.arms import arm_of, arms_of, facts_of_problem, fresh_seeds, stored_points
from study.launch.plan import Plan, make_plan
from study.launch.run import run
from study.records import StudyError
from study.store import Store


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
    return train_again(loader, config_name, sweep, experiment, plan, arms, seeds)


def train_again(
    loader: ConfigLoader,
    config_name: str,
    sweep: Sweep,
    experiment: str | None,
    plan: Plan,
    arms: Sequence[tuple[Any, ...]],
    seeds: Sequence[int],
) -> int:
    """Train arms of a plan on these seeds, as the study NAME-confirm; return the exit status."""
    again = Sweep(
        {**sweep.factors, "seed": [str(seed) for seed in seeds]},
        [line for line in sweep.fixed if line.split("=")[0] != "seed"],
    )
    kept = [
        _renamed(combination, plan)
        for combination in compose_all(loader, config_name, again)
        if arm_of(combination.labels, plan) in arms
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
    facts = facts_of_problem(plan, "confirm: arms", "confirm")
    arms = arms_of(plan)
    points = stored_points(plan, store, plan.points)
    order = best_first(points, higher_is_better=facts.higher_is_better)
    if not order:
        raise StudyError(
            f"{store.folder}: no point has a validation score, so there is no best arm"
        )
    return [arms[arm] for arm in order]


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
