"""Compares two studies: settings that differ, what only one has, and each recipe's difference.

Studies that are not comparable are refused, with the settings that differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.analysis.arms import with_counted
from reports.analysis.findings import findings
from reports.data.study import MISSING, Study
from reports.documents.diff_recipes import Key, OneSided, RecipeChange, changes_by_recipe, only
from reports.formatting import decimals, keys_of, levels, listing, number
from reports.statistics import Estimate
from study.design.outcomes import solved_at_end
from study.records import NOT_IDENTITY, StudyError
from study.store import Store

FACTS = (
    "metric",
    "higher_is_better",
    "baseline",
    "solved",
    "steps",
    "lag",
    "every_step",
    "split",
)  # facts of a task that its scores depend on
WORDS = ("verdict", "outcome", "status")  # of a point, that may change


@dataclass(frozen=True)
class Difference:
    """What changed from the first study to the second.

    `settings` counts (key, before, after) over networks of both that have other settings; `sizes`:
    networks of each; `shared` networks in both, of which `changed` differ. `only_levels`: of
    factors, that only the first, or only the second study has. `networks`: (recipe, seed, change)
    of each that changed. `findings`: (what, change of its strength) of those that both studies
    have or only one has.
    """

    names: tuple[str, str]
    settings: Mapping[tuple[str, str, str], int]
    allowed: Sequence[str]
    sizes: tuple[int, int]
    shared: int
    recipes: Sequence[RecipeChange]
    overall: Estimate
    only_recipes: tuple[Sequence[OneSided], Sequence[OneSided]]
    only_seeds: tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]]
    only_levels: tuple[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]]]
    networks: Sequence[tuple[str, str, str]]
    metric: str
    higher_is_better: bool
    findings: Sequence[tuple[str, str]] = ()


def compare(first: Study, second: Study, allow: Sequence[str]) -> Difference:
    """Compare two studies.

    `allow`: settings that may differ. StudyError names every other setting that does.
    """
    keys = _common_keys(first, second, allow)
    a, b = (_by_key(study, keys) for study in (first, second))
    both = [key for key in a if key in b]
    changes = {key: what for key in both if (what := _changed(a[key], b[key]))}
    name = _namer(first, second, keys)
    recipes, overall = changes_by_recipe(
        a, b, set(changes), lambda key: name(key)[0], _range(first, second), first.higher_is_better
    )
    alone = (only(a, b, name), only(b, a, name))
    return Difference(
        names=_names(first, second),
        settings=_settings(
            first.store, second.store, [(a[key]["id"], b[key]["id"]) for key in changes]
        ),
        allowed=allow,
        sizes=(len(a), len(b)),
        shared=len(both),
        recipes=recipes,
        overall=overall,
        only_recipes=(alone[0][0], alone[1][0]),
        only_seeds=(alone[0][1], alone[1][1]),
        only_levels=(_only_levels(first, second, keys), _only_levels(second, first, keys)),
        networks=[(*name(key), what) for key, what in changes.items()],
        metric=first.metric,
        higher_is_better=first.higher_is_better,
        findings=_findings(first, second) if changes or len(both) < max(len(a), len(b)) else (),
    )


def _names(first: Study, second: Study) -> tuple[str, str]:
    """Their names, told apart where they are the same, as those of a later copy are."""
    a, b = first.name, second.name
    return (a, b) if a != b else (f"{a} (first)", f"{b} (second)")


def _range(first: Study, second: Study) -> tuple[float, float]:
    """Smallest and largest score that is possible in either study."""
    (a, b), (c, d) = first.score_range, second.score_range
    return min(a, c), max(b, d)


def _only_levels(one: Study, other: Study, keys: Sequence[str]) -> dict[str, list[str]]:
    """By factor, the levels that only the one study has."""
    found = {
        key: [level for level in one.levels(key) if level not in other.levels(key)] for key in keys
    }
    return {key: levels for key, levels in found.items() if levels}


def _findings(first: Study, second: Study) -> list[tuple[str, str]]:
    """Findings whose strength is another one, or that only one study has."""
    sides = [
        {
            (one.kind, one.subject, one.measure): one.strength
            for one in findings(study)
            if one.strength
        }
        for study in (first, second)
    ]
    absent = "not there"
    return [
        (
            f"{kind} {subject}: {measure}",
            f"{sides[0].get(key, absent)} → {sides[1].get(key, absent)}",
        )
        for key in dict.fromkeys([*sides[0], *sides[1]])
        for kind, subject, measure in [key]
        if sides[0].get(key) != sides[1].get(key)
    ]


# --- are they comparable? ---


def _common_keys(first: Study, second: Study, allow: Sequence[str]) -> list[str]:
    """Settings that distinguish points and that both studies have, factors of the first study
    first.
    """
    wrong = [*_tasks(first, second), *_fixed(first, second, allow)]
    for one, other in ((first, second), (second, first)):
        known = {*other.factors, *other.constant}
        wrong += [
            f"{key}: varies in {one.name} and is not known to {other.name}"
            for key in one.factors
            if key not in known
        ]
    if wrong:
        raise StudyError(
            f"{first.name} and {second.name} are not comparable:\n"
            + "\n".join(f"  {line}" for line in wrong)
            + "\nSettings may differ where --allow KEY says so; tasks, metrics and the factors'"
            " names may not."
        )
    varied = dict.fromkeys([*first.factors, *second.factors])
    return [key for key in varied if key not in allow]


def _tasks(first: Study, second: Study) -> list[str]:
    shared = [name for name in first.tasks if name in second.tasks]
    if not shared:
        return [
            f"task: {listing(first.tasks)} in {first.name}, {listing(second.tasks)} in"
            f" {second.name}"
        ]
    wrong = []
    if first.metric != second.metric:
        wrong.append(f"metric: {first.metric} in {first.name}, {second.metric} in {second.name}")
    for task in shared:
        facts = [study.tasks[task] for study in (first, second)]
        wrong += [
            f"task {task}: {fact} is {facts[0].get(fact)} in {first.name}, {facts[1].get(fact)} in"
            f" {second.name}"
            for fact in FACTS
            if facts[0].get(fact) != facts[1].get(fact)
        ]
        marks = [
            ((study.record.get("fingerprint") or {}).get("tasks") or {}).get(task)
            for study in (first, second)
        ]
        if marks[0] != marks[1]:
            wrong.append(f"task {task}: its data differ (hash {marks[0]} and {marks[1]})")
    return wrong


def _fixed(first: Study, second: Study, allow: Sequence[str]) -> list[str]:
    """Constant settings, numerics and limits of the states that differ and are not allowed to."""
    numerics = [
        (study.record.get("fingerprint") or {}).get("numerics") for study in (first, second)
    ]
    settings: list[tuple[str, Any, Any]] = [("numerics", numerics[0], numerics[1])]
    settings += [
        (key, first.constant[key], second.constant[key])
        for key in first.constant
        if key in second.constant and key not in first.factors
    ]
    settings += [
        (f"health.{key}", first.health[key], second.health[key])
        for key in first.health
        if key in second.health
    ]
    return [
        f"{key}: {one} in {first.name}, {other} in {second.name}"
        for key, one, other in settings
        if one != other and key not in allow
    ]


# --- points ---


def _by_key(study: Study, keys: Sequence[str]) -> dict[Key, pd.Series]:
    """Stored points (failed ones too) with column `counted`, by their common settings and seed."""
    points = with_counted(study)
    points = points.assign(solved=solved_at_end(points), ruled=study.has_rule(points))
    more = ["id", "counted", "lost", "solved", "ruled"]
    grid = study.grid.merge(points[more], on="id", how="left")
    stored = grid[grid["status"] != MISSING]
    columns = [
        (
            stored[key].astype(str)
            if key in study.factors
            else pd.Series(study.constant[key], index=stored.index)
        )
        for key in keys
    ]
    index = list(zip(*columns, stored["seed"].astype(int), strict=True))
    if len(set(index)) < len(index):
        raise StudyError(
            f"{study.name}: several points have the same {listing([*keys, 'seed'])}; a factor that"
            " varies cannot be allowed to differ"
        )
    return {key: point for key, (_, point) in zip(index, stored.iterrows(), strict=True)}


def _namer(first: Study, second: Study, keys: Sequence[str]) -> Callable[[Key], tuple[str, str]]:
    """A function from key to (arm, seed), in words; the arm by the settings that vary."""
    shown = keys_of(key for key in keys if key in first.factors or key in second.factors).values()
    places = [keys.index(key) for key in shown]

    def name(key: Key) -> tuple[str, str]:
        return levels({name: key[place] for name, place in zip(shown, places, strict=True)}), str(
            key[-1]
        )

    return name


def _as_text(value: object) -> str:
    return "none" if value is None or value != value else str(value)


def _changed(a: pd.Series, b: pd.Series) -> str:
    """How a point changed, with its scores and what became of it; "" if it did not."""
    turned = [
        f"{word} {_as_text(a[word])} → {_as_text(b[word])}"
        for word in WORDS
        if _as_text(a[word]) != _as_text(b[word])
    ]
    same = a["counted"] == b["counted"] or (_empty(a["counted"]) and _empty(b["counted"]))
    if same and not turned and a["id"] == b["id"]:
        return ""
    digits = max(
        decimals(score, abs(a["counted"] - b["counted"]), 3)
        for score in (a["counted"], b["counted"])
    )
    scores = f"{number(a['counted'], digits)} → {number(b['counted'], digits)}"
    start = "other settings" if a["id"] != b["id"] else "same settings, other numbers"
    return "; ".join([f"{start}: {scores}", *turned])


def _empty(value: float) -> bool:
    return not math.isfinite(value)


def _settings(
    first: Store, second: Store, pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str, str], int]:
    """Composed settings that differ within pairs of different ids, with counts, most frequent
    first.
    """
    counted: dict[tuple[str, str, str], int] = {}
    for one, other in pairs:
        if one == other:
            continue
        a, b = _config(first, one), _config(second, other)
        for key in sorted(a.keys() | b.keys()):
            if a.get(key) != b.get(key):
                name = (key, a.get(key, "absent"), b.get(key, "absent"))
                counted[name] = counted.get(name, 0) + 1
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def _config(store: Store, id: str) -> dict[str, str]:
    """Dotted key -> value of each setting that decides the numbers, with kernel and device."""
    ran = {key: store.result(id)["provenance"].get(key) for key in ("kernel", "device")}
    decides = {
        key: value
        for key, value in store.config(id).items()
        if key not in NOT_IDENTITY and key != "seed"
    }
    return dict(_flat({"precision": "full", **decides, **ran}))  # older points have no such key


def _flat(node: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(node, Mapping):
        return [
            pair
            for key, value in node.items()
            for pair in _flat(value, f"{prefix}.{key}" if prefix else str(key))
        ]
    return [(prefix, str(node))]
