"""From composed combinations to a plan: points with ids, exclusions, groups, what is stored
already. Trains nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from study.config.build import build
from study.config.check import check_all
from study.config.compose import Composed, Declared, exclusion, meets
from study.config.settings import Settings, settings_of
from study.config.setup import set_up
from study.design.power import resolvable
from study.interfaces import Group, Point
from study.records import CHOICES, NUMERICS, SIZES, StudyError, identity
from study.store import Damaged, Store
from study.store.search import beside
from study.training.checkpoints import Checkpoints
from study.training.groups import duration, groups, room
from study.training.precision import fixed_numerics


@dataclass(frozen=True)
class Plan:
    """All that is known before the first update."""

    settings: Settings
    experiment: str | None
    factors: Mapping[str, list[Any]]  # in declared order, seed not among them
    points: Sequence[Point]
    excluded: Sequence[Mapping[str, Any]]
    stored: Mapping[str, str]  # id -> status
    damaged: Mapping[str, str]  # id -> why what is stored is no result
    # id -> what tells a later writing of the point from the one looked at here
    versions: Mapping[str, object]
    # id -> probes asked for that its stored result lacks, or has with other settings
    unprobed: Mapping[str, Sequence[str]]

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def folder(self) -> Path:
        """Of the study."""
        return self.settings.folder

    @property
    def missing(self) -> list[Point]:
        """Points to train: those without a result; with `retry` failed or diverged ones again; with
        `reprobe` those that lack a probe.
        """
        again = self.unprobed if self.settings.reprobe else {}
        wanted = (None, *self.settings.retry)
        return [
            point
            for point in self.points
            if self.stored.get(point.id) in wanted or point.id in again
        ]

    def groups(self, points: Sequence[Point], workers: int, max_members: int) -> list[Group]:
        """Groups of these points, each from where its checkpoints are."""
        node, device = self.settings.executor, self.settings.device
        if node.get("gpus") is None:
            space = room(device, workers)
        elif device == "cpu" and node.get("memory_gb"):  # a job's: its cores train a group each
            space = room(device, node["cpus"], node["memory_gb"] * 2**30)
        else:  # of other machines nothing is known
            space = math.inf
        return groups(
            points,
            workers,
            max_members,
            Checkpoints(self.folder).updates(point.id for point in points),
            space,
            device,
        )

    def fingerprint(self) -> dict[str, Any]:
        """What must agree for points to be comparable.

        A task whose settings vary is listed with them, so that further levels may join.
        """
        tasks = {}
        for point in self.points:
            settings = [
                f" {key}={value}" for key, value in point.labels.items() if key.startswith("task.")
            ]
            tasks["".join([str(point.labels["task"]), *settings])] = set_up(
                point.config
            ).task.data_hash()
        return {"experiment": self.experiment, "numerics": NUMERICS, "tasks": tasks}


def make_plan(
    combinations: Sequence[Composed], of: Declared | None, experiment: str | None
) -> Plan:
    """Check everything, name every point. Raises StudyError before anything is written."""
    excluded, kept = [], []
    for combination in combinations:
        why = exclusion(combination)
        if why is None:
            kept.append(combination)
        else:
            levels = {
                key: value
                for key, value in combination.labels.items()
                if of is not None and key in of.factors and key != "seed"
            }
            excluded.append({"labels": levels, "why": why})
    if not kept:
        raise StudyError("study.exclude leaves no combination; nothing to run")
    # one thread: beside what is imported for the workers, more of them get in each other's way
    with fixed_numerics():
        check_all(kept)
    settings = settings_of(kept[0].config)
    if (search := settings.study.search) is not None and not beside(search):
        raise StudyError(
            "study.search: must be the folder of a search beside the study's, such as"
            f" ../digits/search, got {search!r}"
        )
    points = _distinct([_point(combination) for combination in kept])
    store = Store(settings.folder)
    stored, versions, measured, damaged = {}, {}, {}, {}
    there = store.names() & {point.id for point in points}
    for id in store.ordered(there):
        version = store.version(id)
        try:
            result = store.whole(id)
        except Damaged as error:
            damaged[id] = error.why
            continue
        versions[id] = version
        stored[id] = str(result["row"]["status"])
        if stored[id] != "failed":
            measured[id] = probes_of(store, result)
    unprobed = {
        point.id: lacking
        for point in points
        if (lacking := _lacking(point, measured.get(point.id)))
    }
    if settings.reprobe:  # what was measured before is measured again: a point is stored whole
        points = [
            replace(
                point,
                config={
                    **point.config,
                    "probe": {**measured.get(point.id, {}), **point.config["probe"]},
                },
            )
            for point in points
        ]
    factors: dict[str, list[Any]] = {}
    for key in of.factors if of is not None else ():
        if key != "seed":
            name = key.lstrip("+~").split("@")[0]
            factors[name] = list(
                dict.fromkeys(combination.labels[name] for combination in combinations)
            )
    distinct = {json.dumps(one, sort_keys=True): one for one in excluded}
    return Plan(
        settings=settings,
        experiment=experiment,
        factors=factors,
        points=points,
        excluded=list(distinct.values()),
        stored=stored,
        damaged=damaged,
        versions=versions,
        unprobed=unprobed,
    )


def probes_of(store: Store, result: Mapping[str, Any]) -> dict[str, Any]:
    """The probes a stored point was measured with, by name; of an older point its configuration
    knows.
    """
    told = result["provenance"].get("probes")
    if told is None:
        try:
            told = store.config(result["id"]).get("probe")
        except Damaged:
            return {}
    return dict(told) if isinstance(told, Mapping) else {}


def _lacking(point: Point, measured: Mapping[str, Any] | None) -> list[str]:
    return (
        []
        if measured is None
        else [name for name, node in point.config["probe"].items() if measured.get(name) != node]
    )


def _point(combination: Composed) -> Point:
    setup = set_up(dict(combination.config))
    id = identity(
        setup.nodes, data_hash=setup.task.data_hash(), kernel=setup.kernel, device_type=setup.device
    )
    labels = {key: value for key, value in combination.labels.items() if key != "seed"}
    return Point(id=id, config=setup.nodes, labels=labels, seed=setup.seed)


def _distinct(points: Sequence[Point]) -> list[Point]:
    """The points, no two with one id.

    Where a search has found nothing better than the default, the tuned arm is the default one: it
    gets points of its own, so that both arms of the comparison are there.
    """
    seen: dict[str, Point] = {}
    for point in points:
        if point.id in seen:
            one, other = ({**of.labels, "seed": of.seed} for of in (seen[point.id], point))
            differ = [key for key in one if one[key] != other[key]]
            if differ != ["tuned"]:
                told = (
                    ", ".join(f"{key}: {one[key]} and {other[key]}" for key in differ)
                    or "nothing; a level or seed is written twice"
                )
                raise StudyError(
                    "two combinations are the same configuration and would be the same point. They"
                    f" differ in {told}"
                )
            point = replace(point, id=f"{point.id}-tuned")
        seen[point.id] = point
    return list(seen.values())


def declaration(plan: Plan) -> dict[str, Any]:
    """study.json's part that the report reads."""
    first = plan.points[0]
    varying = set(plan.factors)
    numbers = (*SIZES, "validate_every", "dropout", "dtype", "precision", "kernel")
    fixed = {key: first.labels[key] for key in CHOICES if key not in varying}
    # Only what all points share: arms may set some of these.
    fixed |= {
        key: first.config[key]
        for key in numbers
        if all(point.config[key] == first.config[key] for point in plan.points)
    }
    checks = {point.config["stop"]["solved_checks"] for point in plan.points}
    fixed |= {"stop.solved_checks": checks.pop()} if len(checks) == 1 and None not in checks else {}
    rates = [point.config["optimizer"].get("lr") for point in plan.points]
    if (
        "optimizer" not in varying
        and rates[0] is not None
        and all(rate == rates[0] for rate in rates)
    ):
        fixed["optimizer.lr"] = rates[0]
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
        "grid": [
            {"id": point.id, "seed": point.seed, "labels": dict(point.labels)}
            for point in plan.points
        ],
        "tasks": tasks_of(plan),
        "health": plan.settings.health,
    }


def tasks_of(plan: Plan) -> dict[str, dict[str, Any]]:
    """Facts of each task by the name of its level.

    Of one whose length varies: those of the longest, and no lag, which is each point's own.
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


SHOWN = 3  # combinations left out for one reason that plan=true names


def by_reason(excluded: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Labels of the combinations left out, by the reason given."""
    reasons: dict[str, list[Mapping[str, Any]]] = {}
    for one in excluded:
        reasons.setdefault(str(one["why"]), []).append(one["labels"])
    return reasons


def show(plan: Plan, console: Console) -> None:
    """plan=true: factors, exclusions, points, groups, time, what is there."""
    executor = build(plan.settings.executor, "executor")
    made = plan.groups(plan.missing, executor.workers, executor.max_members)
    table = Table("factor", "levels", title=f"study {plan.name}", title_justify="left")
    for key, levels in plan.factors.items():
        table.add_row(key, ", ".join(map(str, levels)))
    table.add_row(
        "seed (replicates)",
        ", ".join(str(seed) for seed in sorted({point.seed for point in plan.points})),
    )
    console.print(table)
    for why, left_out in by_reason(plan.excluded).items():
        which = "; ".join(
            ", ".join(f"{key}={value}" for key, value in labels.items())
            for labels in left_out[:SHOWN]
        )
        more = f" and {len(left_out) - SHOWN} more" if len(left_out) > SHOWN else ""
        console.print(f"left out: {which}{more} ({why})", highlight=False, markup=False)
    if told := resolves(plan):
        console.print(told, highlight=False, markup=False)
    seconds = sum(group.cost for group in made) / max(min(executor.workers, len(made)), 1)
    there = len(plan.points) - len(plan.missing)
    say_unprobed(plan, console)
    for id, why in list(plan.damaged.items())[:SHOWN]:
        console.print(
            f"damaged and to be trained again: {id} ({why})", highlight=False, markup=False
        )
    console.print(
        f"{len(plan.points)} points, {there} stored already, {len(plan.missing)} to train in"
        f" {len(made)} groups",
        highlight=False,
    )
    if any(point.config["stop"]["solved_checks"] for point in plan.points):
        console.print(
            "points may end early (stop.solved_checks): the time below is that of all updates",
            highlight=False,
        )
    told = (
        executor.describe(made)
        or f"about {duration(seconds)} on {executor.workers} workers, a rough estimate"
    )
    console.print(f"{told}; results go to {plan.folder}", highlight=False, markup=False)


def resolves(plan: Plan) -> str:
    """What the declared seeds can resolve, in standard deviations over seeds: the planned
    contrasts, two levels of each factor, two arms.
    """
    arms = list(
        {
            tuple(point.labels[key] for key in plan.factors): point.labels for point in plan.points
        }.values()
    )
    seeds = len({point.seed for point in plan.points})
    if len(arms) < 2:
        return ""
    if seeds < 2:
        return (
            "one seed an arm: the spread over seeds stays unknown, so no difference can be tested"
        )
    asked = {}
    for contrast in plan.settings.study.contrasts:
        asked[contrast["name"]] = _weights(
            arms, plan.factors, contrast["first"], contrast["second"], contrast.get("when", {})
        )
    for key, names in plan.factors.items():
        if len(names) > 1:
            asked[key] = _weights(arms, plan.factors, {key: names[0]}, {key: names[1]}, {})
    asked["two arms"] = [1.0, -1.0]
    said = [
        f"{name} {resolvable(weights, seeds, len(weights) * (seeds - 1)):.2g}"
        for name, weights in asked.items()
        if weights
    ]
    return (
        f"{seeds} seeds an arm resolve (80 % power, one test), in standard deviations over seeds:"
        f" {', '.join(said)}"
    )


def _weights(
    arms: Sequence[Mapping[str, Any]],
    factors: Iterable[str],
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    when: Mapping[str, Any],
) -> list[float]:
    """Of the arms' means in first side minus second, over arms alike in everything else; as
    reports.analysis.sides.match has them.
    """
    blocks: dict[tuple[Any, ...], tuple[list[int], list[int]]] = {}
    for number, arm in enumerate(arms):
        for place, side in enumerate((first, second)):
            if meets(arm, {**when, **side}, "study.contrasts"):
                block = tuple(arm[key] for key in factors if key not in {*first, *second})
                blocks.setdefault(block, ([], []))[place].append(number)
    whole = [block for block in blocks.values() if all(block)]
    return [
        way / len(whole) / len(side)
        for block in whole
        for side, way in zip(block, (1, -1), strict=True)
        for _ in side
    ]


def say_unprobed(plan: Plan, console: Console) -> None:
    """A probe asked for and not measured would else be missing in silence."""
    names = sorted({name for lacking in plan.unprobed.values() for name in lacking})
    if names and not plan.settings.reprobe:
        points = f"{len(plan.unprobed)} stored point{'s' if len(plan.unprobed) > 1 else ''}"
        console.print(
            f"note: {points} without probe {', '.join(names)} as asked for now; reprobe=true trains"
            " them again",
            highlight=False,
            markup=False,
        )
