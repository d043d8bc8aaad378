"""The declaration of a study: the part of study.json that the report reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from study.config.setup import set_up
from study.launch.plan import Plan
from study.records import CHOICES, SIZES


def listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def declaration(plan: Plan) -> dict[str, Any]:
    """The declaration that study.json stores."""
    first = plan.points[0]
    varying = set(plan.factors)
    numbers = (*SIZES, "validate_every", "dropout", "dtype", "precision", "kernel")
    fixed = {
        key: first.labels[key]
        for key in CHOICES
        if all(point.labels[key] == first.labels[key] for point in plan.points)
    }
    # Only values that all points share: arms may set some of these.
    fixed |= {
        key: first.config[key]
        for key in numbers
        if all(point.config[key] == first.config[key] for point in plan.points)
        and not any(key in set_up(point.config).without_effect for point in plan.points)
    }
    checks = {point.config["stop"]["solved_checks"] for point in plan.points}
    fixed |= {"stop.solved_checks": checks.pop()} if len(checks) == 1 and None not in checks else {}
    for key in ("lr", "name"):
        values = [point.config["optimizer"].get(key) for point in plan.points]
        same = all(value == values[0] for value in values)
        if "optimizer" not in varying and values[0] is not None and same:
            fixed[f"optimizer.{key}"] = values[0]
    for piece in ("encoder", "block", "penalty", "schedule", "average"):
        nodes = [point.config.get(piece) for point in plan.points]
        if nodes[0] is not None and all(node == nodes[0] for node in nodes):
            target = nodes[0].get("_target_")
            # its file, or its settings
            fixed[piece] = target.split(".")[-2] if target else listed(nodes[0])
    batches = {point.config.get("accumulate", 1) for point in plan.points}
    fixed |= {"accumulate": batches.pop()} if len(batches) == 1 and batches != {1} else {}
    trainers = list(
        dict.fromkeys(
            str(point.labels["trainer"]) for point in plan.points if "trainer" in point.config
        )
    )
    if trainers:  # what a function of the user's own does with the other settings is not known
        fixed = {key: fixed[key] for key in (*CHOICES, "updates") if key in fixed}
    fixed = {key: value for key, value in fixed.items() if key not in varying}
    return {
        "factors": {key: list(levels) for key, levels in plan.factors.items()},
        "seeds": sorted({point.seed for point in plan.points}),
        "excluded": list(plan.excluded),
        "arms": plan.settings.study.arms,
        "claims": plan.settings.study.claims,
        "contrasts": plan.settings.study.contrasts,
        "search": plan.settings.study.search,
        "fixed": fixed,
        "models": notes_on_models(plan),
        "trainers": trainers,
        "grid": [
            {"id": point.id, "seed": point.seed, "labels": dict(point.labels)}
            for point in plan.points
        ],
        "tasks": tasks_of(plan),
        "health": plan.settings.health,
    }


def notes_on_models(plan: Plan) -> dict[str, list[str]]:
    """How models of the user's own are trained and measured, by the name of their level."""
    found: dict[str, dict[str, None]] = {}
    for point in plan.points:
        for note in set_up(point.config).model_notes:
            found.setdefault(str(point.labels["model"]), {})[note] = None
    return {name: list(notes) for name, notes in found.items()}


def tasks_of(plan: Plan) -> dict[str, dict[str, Any]]:
    """Facts of each task by the name of its level.

    If a task's length is a factor: the facts of the longest, without `lag`, which differs by point.
    """
    tasks: dict[str, dict[str, Any]] = {}
    for point in plan.points:
        facts = asdict(set_up(point.config).task.facts)
        known = tasks.setdefault(str(point.labels["task"]), facts)
        if known["steps"] != facts["steps"] or known["lag"] not in (None, facts["lag"]):
            tasks[str(point.labels["task"])] = {
                **(facts if facts["steps"] > known["steps"] else known),
                "lag": None,
            }
    return tasks
