"""Plan a launch: points with ids, exclusions, groups, and what is stored already."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from study.config.build import build, later_of
from study.config.canonical import canonical, idle, without_idle
from study.config.check import check_all
from study.config.compose import Combination, Sweep, exclusion, select
from study.config.labels import labelled
from study.config.settings import Settings, settings_of
from study.config.setup import set_up
from study.config.sources import own_sources
from study.design.comparisons import check_named_levels
from study.interfaces import Executor, Group, Point
from study.launch.estimate import training
from study.launch.others import others, values
from study.records import NUMERICS, StudyError, identity
from study.store import Damaged, Store
from study.store.search import beside
from study.training.checkpoints import Checkpoints
from study.training.groups import group_memory, groups
from study.training.precision import fixed_numerics

OURS = (
    "study.executors."  # executors that train by the engine or the named trainer, and no other way
)
# Root keys that a launch reads once, from its first point.
OF_A_LAUNCH = (
    "name",
    "plan",
    "reprobe",
    "retry",
    "executor",
    "tracker",
    "store",
    "study",
    "identity",
)


@dataclass(frozen=True)
class Plan:
    """Everything known about a launch before its first update."""

    settings: Settings
    experiment: str | None
    factors: Mapping[str, list[Any]]  # in declared order, without seed
    points: Sequence[Point]
    excluded: Sequence[Mapping[str, Any]]
    stored: Mapping[str, str]  # id -> status
    damaged: Mapping[str, str]  # id -> reason
    # id -> version of the stored point, which changes whenever the point is written
    versions: Mapping[str, object]
    # id -> configured probes that its stored result lacks, or has with other settings
    unprobed: Mapping[str, Sequence[str]]
    # id -> pieces of the user's own whose source has changed since it was stored
    changed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # Stored points that are not of this launch, with what they differ in; "" if there are none.
    others: str = ""
    # The command that makes the same plan; "" for the command that is running.
    command: str = ""

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def folder(self) -> Path:
        """The study's folder."""
        return self.settings.folder

    @property
    def missing(self) -> list[Point]:
        """Points to train: those without a result, and those that `retry` or `reprobe` selects."""
        again = self.unprobed if self.settings.reprobe else {}
        wanted = (None, *self.settings.retry)
        return [
            point
            for point in self.points
            if self.stored.get(point.id) in wanted
            or point.id in again
            or (point.id in self.changed and self.settings.source == "retrain")
        ]

    @functools.cached_property
    def executor(self) -> Executor:
        """The executor that will train the groups."""
        executor: Executor = build(self.settings.executor, "executor")
        return executor

    @property
    def groups(self) -> list[Group]:
        """The missing points in groups, as the executor will train them."""
        return self.cut(self.missing, self.executor.workers, self.executor.max_members)

    @property
    def estimate(self) -> float:
        """Seconds that training the missing points may take on this machine while it is idle."""
        return self.seconds(self.groups)

    def seconds(self, groups: Sequence[Group]) -> float:
        """Seconds that training these groups side by side may take on this machine."""
        return training(groups, self.executor.workers, self.settings.device)

    def cut(self, points: Sequence[Point], workers: int, max_members: int) -> list[Group]:
        """Cut points into groups whose members resume at the same update."""
        node, device = self.settings.executor, self.settings.device
        if node.get("gpus") is None:
            space = group_memory(device, workers)
        elif device == "cpu" and node.get("memory_gb"):  # of a job, with one group per core
            space = group_memory(device, node["cpus"], node["memory_gb"] * 2**30)
        else:  # the memory of other machines is unknown
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
        """What launches of one study must agree on for points to be comparable.

        A task is listed with its varying settings, so that further levels can be added later.
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
    combinations: Sequence[Combination], sweep: Sweep | None, experiment: str | None
) -> Plan:
    """Check all combinations and compute their ids. Raises StudyError; writes nothing."""
    as_typed = combinations
    combinations = [canonical(combination) for combination in as_typed]
    given = {id(now): then.config for now, then in zip(combinations, as_typed, strict=True)}
    left, excluded = _excluded(combinations, sweep)
    # One thread: several would compete with the processes that import modules for the workers.
    with fixed_numerics():
        check_all(left)
    factors = sweep.factors if sweep is not None else ()
    kept = [labelled(combination, factors) for combination in left]
    _check_names_of_models(kept)
    _check_one_launch(kept)
    settings = settings_of(kept[0].config)
    if sweep is not None and sweep.factors:  # one point alone judges no claim
        study = {"claims": settings.study.claims, "contrasts": settings.study.contrasts}
        check_named_levels(study, [each.labels for each in kept])
    if (search := settings.study.search) is not None and not beside(search):
        raise StudyError(
            "study.search: must be the folder of a search beside the study's, such as"
            f" ../digits/search, got {search!r}"
        )
    store = Store(settings.folder)
    there = store.names()
    points = _distinct(
        [
            _point(combination, given[id(before)], there)
            for combination, before in zip(kept, left, strict=True)
        ]
    )
    stored = _stored(store, {point.id for point in points})
    _check_same_units(points, stored)
    unprobed = _unprobed(points, stored)
    if settings.reprobe:
        # A point is replaced as a whole, so the probes of its stored result are repeated as well.
        points = [_with_probes(point, stored.probes.get(point.id, {})) for point in points]
    return Plan(
        settings=settings,
        experiment=experiment,
        factors=_levels([*kept, *(each for each in combinations if each not in left)], sweep),
        points=points,
        excluded=excluded,
        stored=stored.status,
        damaged=stored.damaged,
        versions=stored.versions,
        unprobed=unprobed,
        changed=_changed(points, stored),
        others=others(store, there, points),
    )


def _check_one_launch(combinations: Sequence[Combination]) -> None:
    """A launch has one name, folder, executor, …: other values would be ignored."""
    for key in OF_A_LAUNCH:
        values = {json.dumps(each.config.get(key), sort_keys=True) for each in combinations}
        if len(values) > 1:
            shown = sorted(values)[:3]
            raise StudyError(
                f"{key}: is the same for all points of a launch, and cannot vary; got"
                f" {', '.join(shown)}. Run one launch for each"
            )


def _check_names_of_models(combinations: Sequence[Combination]) -> None:
    own = {each.labels["cell"] for each in combinations if "model" in each.config}
    cells = {each.labels["cell"] for each in combinations if "model" not in each.config}
    if both := sorted(own & cells):
        raise StudyError(
            f"model: {', '.join(both)} is the name of a cell of this study, too, so that reports"
            " could not tell them apart; give its YAML another name"
        )


def _excluded(
    combinations: Sequence[Combination], sweep: Sweep | None
) -> tuple[list[Combination], list[dict[str, Any]]]:
    """The combinations to train, and the distinct excluded ones with their reasons."""
    kept, excluded = [], {}
    for combination in combinations:
        why = exclusion(combination)
        if why is None:
            kept.append(combination)
            continue
        swept = sweep.factors if sweep is not None else {}
        levels = {
            key: value
            for key, value in combination.labels.items()
            if key in swept and key != "seed"
        }
        entry = {"labels": levels, "why": why}
        excluded[json.dumps(entry, sort_keys=True)] = entry
    if not kept:
        raise StudyError("study.exclude leaves no combination; nothing to run")
    return kept, list(excluded.values())


def _levels(combinations: Sequence[Combination], sweep: Sweep | None) -> dict[str, list[Any]]:
    """Factors in declared order with their levels, without seed.

    Where models of the user's own are swept, they are levels of the cell, see `labelled`.
    """
    keys = [key for key in (sweep.factors if sweep is not None else ()) if key != "seed"]
    names = [key.lstrip("+~").split("@")[0] for key in keys]
    if "model" in names and any("model" in each.config for each in combinations):
        names = list(dict.fromkeys("cell" if name == "model" else name for name in names))
    return {name: list(dict.fromkeys(each.labels[name] for each in combinations)) for name in names}


def look_again(plan: Plan) -> Plan:
    """The same plan with what the store holds now: it may have been run since it was made."""
    stored = _stored(Store(plan.folder), {point.id for point in plan.points})
    return replace(
        plan,
        stored=stored.status,
        damaged=stored.damaged,
        versions=stored.versions,
        unprobed=_unprobed(plan.points, stored),
        changed=_changed(plan.points, stored),
        others=others(Store(plan.folder), Store(plan.folder).names(), plan.points),
    )


def _check_same_units(points: Sequence[Point], stored: _Stored) -> None:
    """Scaled data are the same in other units, and so is what is trained on them, but exports of
    points that are stored already would answer in the units of then.
    """
    checked = set()
    for point in points:
        then, task = stored.signatures.get(point.id), json.dumps(point.config["task"])
        if then is None or task in checked:
            continue
        checked.add(task)
        if not _alike(then, set_up(point.config).task.signature()):
            raise StudyError(
                "task: its data are those of the stored points but for their scale, units or names,"
                " in which exports answer; give this study a name of its own: name=…"
            )


def _alike(then: Any, now: Any) -> bool:
    """Equal but for rounding, which differs between machines."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        return all(_alike(then[key], now[key]) for key in then.keys() & now.keys())
    if isinstance(then, list) and isinstance(now, list):
        return len(then) == len(now) and all(map(_alike, then, now))
    if isinstance(then, float) and isinstance(now, float):
        return math.isclose(then, now, rel_tol=1e-5, abs_tol=1e-9)
    return bool(then == now)


def _changed(points: Sequence[Point], stored: _Stored) -> dict[str, list[str]]:
    """Pieces of the user's own whose source is another than that of a stored point, by id."""
    found = {}
    now: dict[str, str] = {}
    for point in points:
        if then := stored.sources.get(point.id):
            now = now or own_sources(point.config)
            now |= {} if then.keys() <= now.keys() else own_sources(point.config)
            if differ := [name for name, digest in then.items() if now.get(name) != digest]:
                found[point.id] = differ
    return found


def check_sources(plan: Plan) -> str | None:
    """A sentence on stored points whose source has changed. Raises StudyError for source=ask."""
    if not plan.changed:
        return None
    names = ", ".join(dict.fromkeys(name for each in plan.changed.values() for name in each))
    count = f"{len(plan.changed)} stored point{'s' if len(plan.changed) > 1 else ''}"
    if plan.settings.source == "ask" and not plan.settings.plan_only:
        raise StudyError(
            f"identity.source: the file of {names} has changed since {count} of this study were"
            " trained with it. identity.source=retrain trains them again, identity.source=ignore"
            " keeps them, and name=… starts another study"
        )
    done = {"retrain": "they are trained again", "ignore": "they are kept"}.get(
        plan.settings.source, "identity.source=retrain or ignore decides"
    )
    return f"the file of {names} has changed since {count} were trained with it; {done}"


def _unprobed(points: Sequence[Point], stored: _Stored) -> dict[str, list[str]]:
    """Probes that stored points lack, by id."""
    missing = {point.id: _missing_probes(point, stored.probes.get(point.id)) for point in points}
    return {id: names for id, names in missing.items() if names}


@dataclass
class _Stored:
    """The stored results of a plan's points, by id."""

    status: dict[str, str] = field(default_factory=dict)
    versions: dict[str, object] = field(default_factory=dict)
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)  # of pieces of the user's own
    signatures: dict[str, dict[str, Any]] = field(default_factory=dict)  # of one point a task
    damaged: dict[str, str] = field(default_factory=dict)  # reasons


def _stored(store: Store, ids: set[str]) -> _Stored:
    found, seen = _Stored(), set[str]()
    for id in store.ordered(store.names() & ids):
        version = store.version(id)
        try:
            result = store.whole(id)
        except Damaged as error:
            found.damaged[id] = error.why
            continue
        found.versions[id] = version
        found.status[id] = str(result["row"]["status"])
        if sources := result["provenance"].get("sources"):
            found.sources[id] = sources
        task = str([pair for pair in result["labels"].items() if pair[0].startswith("task")])
        if task not in seen and (signature := result["provenance"].get("signature")):
            seen.add(task)
            found.signatures[id] = signature
        if found.status[id] != "failed":
            found.probes[id] = probes_of(store, result)
    return found


def _with_probes(point: Point, probes: Mapping[str, Any]) -> Point:
    config = {**point.config, "probe": {**probes, **point.config["probe"]}}
    return replace(point, config=config)


def probes_of(store: Store, result: Mapping[str, Any]) -> dict[str, Any]:
    """The probes that a stored point was measured with, by name."""
    probes = result["provenance"].get("probes")
    if probes is None:  # an old point; its configuration has them
        try:
            probes = store.config(result["id"]).get("probe")
        except Damaged:
            return {}
    return dict(probes) if isinstance(probes, Mapping) else {}


def _missing_probes(point: Point, measured: Mapping[str, Any] | None) -> list[str]:
    return (
        []
        if measured is None
        else [name for name, node in point.config["probe"].items() if measured.get(name) != node]
    )


def _point(combination: Combination, given: Mapping[str, Any], there: Collection[str]) -> Point:
    """The point of a combination; an id of earlier versions if that is stored.

    `given`: its configuration with numbers as they were typed.
    """
    setup = set_up(dict(combination.config))
    id_of = functools.partial(
        identity,
        data_hash=setup.task.data_hash(),
        kernel=setup.versioned_kernel,
        device_type=setup.device,
        read_by=setup.task.read_by,
        later={key: later_of(node) for key, node in setup.nodes.items()},
        without_effect=setup.without_effect,
    )
    own = without_idle(setup.nodes, idle(setup))
    executor = str(setup.nodes["executor"].get("_target_"))
    foreign = None if executor.startswith(OURS) else executor
    id = id_of(own, executor=foreign)
    if id not in there and there:
        # as earlier versions named it: by numbers as typed, idle settings, where data lie, and
        # whatever trained it
        earlier = [given, setup.nodes]
        found = [id_of(config, located=where) for config in earlier for where in (False, True)]
        found += [id_of(own, located=True), id_of(own)]
        id = next((each for each in found if each in there), id)
    labels = {key: value for key, value in combination.labels.items() if key != "seed"}
    return Point(id, setup.nodes, labels, setup.seed, setup.task.data_hash())


def _unread(point: Point, other: Point) -> str:
    """How to leave out one of two combinations that differ in what their network does not use."""
    setup = set_up(point.config)
    why = dict.fromkeys(setup.without_effect, f"model {point.labels.get('model')} does not use it")
    why |= {key: reason for key, (_, reason) in idle(setup).items()}
    differ = [key for key in why if select(point.config, key) != select(other.config, key)]
    if not differ:
        return ""
    reasons = "; ".join(f"{key} changes nothing here: {why[key]}" for key in differ)
    when = f"{{model: {point.labels['model']}, " if setup.without_effect else "{cell: CELL, "
    return (
        f". {reasons}. Keep one level of it there, with study.exclude=[{{when:"
        f" {when}{differ[0]}: [OTHERS]}}, why: no effect}}]"
    )


def _same_names(one: Point, other: Point) -> StudyError:
    """Two different recipes under one name would be one arm of a report."""
    keys = sorted(dict.fromkeys([*values(one.config), *values(other.config)]))
    ours, theirs = values(one.config), values(other.config)
    differ = [key for key in keys if ours.get(key) != theirs.get(key)][:3]
    told = ", ".join(f"{key}: {ours.get(key)} and {theirs.get(key)}" for key in differ)
    return StudyError(
        "two combinations have the same levels and different settings, and a report could not tell"
        f" them apart ({told}). Sweep {differ[0]} itself, or write each setting as a level file of"
        " its own"
    )


def _distinct(points: Sequence[Point]) -> list[Point]:
    """Make all ids distinct.

    If a search found nothing better than the default, the tuned arm equals the default arm. It then
    gets points of its own, with another id, so that both arms can be compared.
    """
    seen: dict[str, Point] = {}
    named: dict[str, Point] = {}
    for point in points:
        name = json.dumps([point.labels, point.seed], sort_keys=True, default=str)
        if name in named and named[name].id != point.id:
            raise _same_names(named[name], point)
        named[name] = point
        if point.id in seen:
            one, other = ({**each.labels, "seed": each.seed} for each in (seen[point.id], point))
            differ = [key for key in one if one[key] != other[key]]
            if differ != ["tuned"]:
                differences = (
                    ", ".join(f"{key}: {one[key]} and {other[key]}" for key in differ)
                    or "nothing; a level or seed is written twice"
                )
                raise StudyError(
                    "two combinations are the same configuration and would be the same point. They"
                    f" differ in {differences}{_unread(point, seen[point.id])}"
                )
            point = replace(point, id=f"{point.id}-tuned")
        seen[point.id] = point
    return list(seen.values())
