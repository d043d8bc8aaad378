"""The findings of a search, from its storage: tables for the report, a summary of each arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from study.records import SEARCH_TABLES
from study.search.arms import is_grid
from study.search.importance import importance
from study.search.slots import EXAMPLES, FINISHED, Slot, Slots
from study.search.space import at_boundary, show
from study.search.spec import Arm, Spec
from study.search.storage import JOURNAL, quiet

Rows = list[dict[str, Any]]


def setting(trial: FrozenTrial) -> dict[str, Any]:
    return dict(trial.user_attrs.get("setting", trial.params))


def best(spec: Spec, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The complete trial with the best score.

    Ties are decided by the other objectives in order, then by the earliest trial.
    """
    complete = [
        trial
        for trial in trials
        if trial.state == TrialState.COMPLETE
        and all(math.isfinite(value) for value in trial.values)
    ]
    signs = [-1 if direction == "maximize" else 1 for direction in spec.directions]
    score = spec.settings.objectives.index("score")
    order = [score, *(index for index in range(len(signs)) if index != score)]
    return min(
        complete,
        key=lambda trial: [signs[index] * trial.values[index] for index in order] + [trial.number],
        default=None,
    )


def front(spec: Spec, trials: Sequence[FrozenTrial]) -> set[int]:
    """Numbers of the complete trials on the Pareto front."""
    signs = [-1 if direction == "maximize" else 1 for direction in spec.directions]
    points = {
        trial.number: [sign * value for sign, value in zip(signs, trial.values, strict=True)]
        for trial in trials
        if trial.state == TrialState.COMPLETE
    }

    def dominates(first: list[float], second: list[float]) -> bool:
        return all(a <= b for a, b in zip(first, second, strict=True)) and first != second

    return {
        number
        for number, values in points.items()
        if not any(dominates(others, values) for others in points.values())
    }


def tables(spec: Spec, arm_slots: Sequence[Slots]) -> dict[str, dict[str, list[Any]]]:
    """The tables of records.SEARCH_TABLES over all arms."""
    rows: dict[str, Rows] = {name: [] for name in SEARCH_TABLES}
    for arm, slots in zip(spec.arms, arm_slots, strict=True):
        found = slots.slots()
        counted = [slot.counted for slot in found if slot.counted is not None]
        winner, frontier = (
            best(spec, counted),
            (front(spec, counted) if len(spec.settings.objectives) > 1 else set()),
        )
        for slot in found:
            trial = slot.counted or (slot.trials[-1] if slot.trials else None)
            if trial is None:
                continue
            rows["trials"].append(
                {
                    "arm": arm.name,
                    **_row(spec, slot, trial),
                    "best": trial is winner,
                    "front": trial.number in frontier,
                }
            )
            for key, value in setting(trial).items():
                number = (
                    float(value)
                    if isinstance(value, int | float) and not isinstance(value, bool)
                    else None
                )
                rows["settings"].append(
                    {
                        "arm": arm.name,
                        "trial": slot.number,
                        "key": key,
                        "value": str(value),
                        "number": number,
                    }
                )
            for step, value in trial.intermediate_values.items():
                rows["curves"].append(
                    {
                        "arm": arm.name,
                        "trial": slot.number,
                        "share": step / arm.validations,
                        "score": _finite(value),
                    }
                )
        for index, objective in enumerate(spec.settings.objectives):
            with quiet():
                shares = importance(slots.study, list(spec.space), index)
            rows["importance"] += [
                {"arm": arm.name, "objective": objective, **row} for row in shares
            ]
    return {
        name: {
            column.name: [row.get(column.name) for row in rows[name]]
            for column in SEARCH_TABLES[name]
        }
        for name in rows
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _row(spec: Spec, slot: Slot, trial: FrozenTrial) -> dict[str, Any]:
    facts = trial.user_attrs
    states = {
        TrialState.RUNNING: "running",
        TrialState.WAITING: "waiting",
        TrialState.FAIL: "failed",
        TrialState.PRUNED: "pruned",
    }
    values = dict(zip(spec.settings.objectives, trial.values or [], strict=False))
    return {
        "trial": slot.number,
        "status": states.get(trial.state) or facts.get("status", "done"),
        **{name: _finite(value) for name, value in values.items()},
        "se": facts.get("se"),
        "default": slot.number == 0,
        "replicates": spec.settings.replicates,
        "examples": facts.get(EXAMPLES),
        "updates": facts.get("updates"),
        "seconds": facts.get("seconds"),
        "retried": len(slot.failures) - (trial.state == TrialState.FAIL),
        "reason": facts.get("reason"),
    }


def summary(spec: Spec, arm_slots: Sequence[Slots]) -> dict[str, Any]:
    """The content of search.json: settings of the search, and findings for every arm."""
    settings = spec.settings
    return {
        "name": spec.name,
        "experiment": spec.experiment,
        "space": {key: show(distribution) for key, distribution in spec.space.items()},
        "logarithmic": [
            key for key, distribution in spec.space.items() if getattr(distribution, "log", False)
        ],
        "factors": {key: list(levels) for key, levels in spec.factors.items()},
        "trials": settings.trials,
        "budget": settings.budget,
        "replicates": settings.replicates,
        "seeds": spec.seeds,
        "objectives": list(settings.objectives),
        "higher_is_better": spec.higher_is_better,
        "sampler": settings.sampler["_target_"].rsplit(".", 1)[-1],
        "pruner": settings.pruner["_target_"].rsplit(".", 1)[-1],
        "storage": (
            "journal file"
            if settings.storage == JOURNAL
            else settings.storage.split(":")[0].split("+")[0]
        ),
        "grid": is_grid(spec),
        "complete": all(slots.over() for slots in arm_slots),
        "arms": [
            arm_summary(spec, arm, slots) for arm, slots in zip(spec.arms, arm_slots, strict=True)
        ],
    }


def arm_summary(spec: Spec, arm: Arm, slots: Slots) -> dict[str, Any]:
    """Budget spent, default and best setting, best values at an edge, flatness of the optimum."""
    found = slots.slots()
    counted = [slot.counted for slot in found if slot.counted is not None]
    winner, at = best(spec, counted), spec.settings.objectives.index("score")
    default = next((slot.counted for slot in found if slot.number == 0), None)
    result: dict[str, Any] = {
        "arm": arm.name,
        "levels": dict(arm.levels),
        "trials": len(counted),
        "pruned": sum(trial.state == TrialState.PRUNED for trial in counted),
        "failed": sum(slot.over and slot.counted is None for slot in found),
        "examples": sum(trial.user_attrs.get(EXAMPLES, 0) for trial in counted),
        "examples_budget": slots.budget.trials * slots.budget.price,
        "seconds": sum(trial.user_attrs.get("seconds", 0.0) for trial in counted),
        "default": {
            "setting": dict(arm.default),
            "inside": arm.default_inside,
            "score": _score(default, at),
        },
        "best": None,
    }
    if winner is not None:
        chosen = setting(winner)
        edges = (
            {
                key: at_boundary(distribution, chosen[key])
                for key, distribution in spec.space.items()
            }
            if winner.params
            else {}
        )
        result["best"] = {
            "setting": chosen,
            "score": winner.values[at],
            "se": winner.user_attrs.get("se"),
            "trial": next(slot.number for slot in found if slot.counted is winner),
            "is_default": winner is default,
            "boundary": {key: edge for key, edge in edges.items() if edge},
        }
        result["flat"] = flatness(spec, counted, winner)
    return result


def flatness(spec: Spec, counted: Sequence[FrozenTrial], winner: FrozenTrial) -> dict[str, Any]:
    """Number and ranges of the trials within one standard error of the best.

    The standard error is that of the best trial over its validation examples.
    """
    at, se = spec.settings.objectives.index("score"), winner.user_attrs.get("se") or 0.0
    near = [
        trial
        for trial in counted
        if trial.state in FINISHED
        and trial.values
        and abs(trial.values[at] - winner.values[at]) <= se
    ]
    ranges = {}
    for key in spec.space:
        values = [setting(trial)[key] for trial in near if key in setting(trial)]
        numeric = all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in values
        )
        ranges[key] = (
            [min(values), max(values)] if numeric else sorted({str(value) for value in values})
        )
    return {"near": len(near), "of": len(counted), "within": se, "ranges": ranges}


def _score(trial: FrozenTrial | None, at: int) -> float | None:
    return _finite(trial.values[at]) if trial is not None and trial.values else None


def gains(found: Mapping[str, Any]) -> list[tuple[str, float | None, float | None]]:
    """(arm, score of the default setting, best score) of every arm in a summary."""
    return [
        (arm["arm"], arm["default"]["score"], arm["best"]["score"] if arm["best"] else None)
        for arm in found["arms"]
    ]
