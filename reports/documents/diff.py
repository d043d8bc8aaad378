"""Compares two studies: points added, removed and changed, verdict flips, score differences.

Studies that are not comparable are refused, with the settings that differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.analysis.arms import with_counted, with_interval
from reports.analysis.findings import findings
from reports.data.study import MISSING, Study
from reports.formatting import count, decimals, keys_of, levels, listing, number
from reports.statistics import NO_ESTIMATE, Estimate, mean_interval, weighted_arms
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
FLIPS = ("verdict", "outcome", "status")
Key = tuple[Any, ...]  # levels of the common settings, then the seed


@dataclass(frozen=True)
class ArmChange:
    """An arm of both studies: second minus first, with Welch's t interval over seeds.

    `same`: all its points are identical.
    """

    label: str
    first: Estimate
    second: Estimate
    difference: Estimate
    same: bool


@dataclass(frozen=True)
class Difference:
    """What changed from the first study to the second.

    Points are (arm, seed, change); `settings` counts (key, before, after) over changed points.
    `findings`: (what, change of its strength) of those that both studies have or only one has.
    """

    names: tuple[str, str]
    sizes: tuple[int, int]
    shared: int
    added: Sequence[tuple[str, str, str]]
    removed: Sequence[tuple[str, str, str]]
    changed: Sequence[tuple[str, str, str]]
    flips: Mapping[str, Sequence[tuple[str, str, str]]]
    settings: Mapping[tuple[str, str, str], int]
    arms: Sequence[ArmChange]
    overall: Estimate
    metric: str
    allowed: Sequence[str]
    findings: Sequence[tuple[str, str]] = ()


def compare(first: Study, second: Study, allow: Sequence[str]) -> Difference:
    """Compare two studies.

    `allow`: settings that may differ. StudyError names every other setting that does.
    """
    keys = _common_keys(first, second, allow)
    a, b = (_by_key(study, keys) for study in (first, second))
    both = [key for key in a if key in b]
    changes = {key: _changed(a[key], b[key]) for key in both}
    name = _namer(first, second, keys)
    flips = {
        word: [
            (*name(key), f"{_as_text(a[key][word])} → {_as_text(b[key][word])}")
            for key in both
            if _as_text(a[key][word]) != _as_text(b[key][word])
        ]
        for word in FLIPS
    }
    changed = [key for key in both if changes[key]]
    return Difference(
        names=(first.name, second.name),
        sizes=(len(a), len(b)),
        shared=len(both),
        added=[(*name(key), str(b[key]["status"])) for key in b if key not in a],
        removed=[(*name(key), str(a[key]["status"])) for key in a if key not in b],
        changed=[(*name(key), changes[key]) for key in changed],
        flips=flips,
        settings=_settings(
            first.store, second.store, [(a[key]["id"], b[key]["id"]) for key in changed]
        ),
        arms=_arms(a, b, set(changed), name),
        overall=_overall(a, b),
        metric=first.metric,
        allowed=allow,
        findings=_findings(first, second) if changed or len(both) < max(len(a), len(b)) else (),
    )


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
    grid = study.grid.merge(with_counted(study)[["id", "counted"]], on="id", how="left")
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
    """How a point changed, with its scores; "" if it did not."""
    same = all(_as_text(a[word]) == _as_text(b[word]) for word in FLIPS) and (
        a["counted"] == b["counted"] or (_empty(a["counted"]) and _empty(b["counted"]))
    )
    if same and a["id"] == b["id"]:
        return ""
    digits = max(
        decimals(score, abs(a["counted"] - b["counted"]), 3)
        for score in (a["counted"], b["counted"])
    )
    scores = f"{number(a['counted'], digits)} → {number(b['counted'], digits)}"
    return f"{'other settings' if a['id'] != b['id'] else 'same settings, other numbers'}: {scores}"


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


# --- scores ---


def _arms(
    a: Mapping[Key, pd.Series],
    b: Mapping[Key, pd.Series],
    changed: set[Key],
    name: Callable[[Key], tuple[str, str]],
) -> list[ArmChange]:
    sides = [_scores(a), _scores(b)]
    found = []
    for arm in (arm for arm in sides[0] if arm in sides[1]):
        scores = [list(side[arm].values()) for side in sides]
        same = sides[0][arm].keys() == sides[1][arm].keys() and not any(
            key in changed for key in sides[0][arm]
        )
        first, second = (mean_interval(difference) for difference in scores)
        found.append(ArmChange(name((*arm, 0))[0], first, second, _between(scores), same))
    return found


def _between(scores: Sequence[Sequence[float]]) -> Estimate:
    """Mean of the second minus mean of the first, with Welch's t interval."""
    rows = [(side, score) for side in (0, 1) for score in scores[side]]
    return weighted_arms(
        pd.DataFrame(rows, columns=["arm", "counted"]), "counted", {0: -1.0, 1: 1.0}
    )


def _scores(points: Mapping[Key, pd.Series]) -> dict[Key, dict[Key, float]]:
    """Arm -> point -> counted score."""
    arms: dict[Key, dict[Key, float]] = {}
    for key, point in points.items():
        if not _empty(point["counted"]):
            arms.setdefault(key[:-1], {})[key] = float(point["counted"])
    return arms


def _overall(a: Mapping[Key, pd.Series], b: Mapping[Key, pd.Series]) -> Estimate:
    """Mean difference over arms of both studies, arms weighing equally; the interval has seed noise
    only.
    """
    sides = [_scores(a), _scores(b)]
    shared = [arm for arm in sides[0] if arm in sides[1]]
    rows = [
        (2 * at + side, score)
        for at, arm in enumerate(shared)
        for side in (0, 1)
        for score in sides[side][arm].values()
    ]
    weights = {
        2 * at + side: (1 if side else -1) / len(shared)
        for at in range(len(shared))
        for side in (0, 1)
    }
    return (
        weighted_arms(pd.DataFrame(rows, columns=["arm", "counted"]), "counted", weights)
        if shared
        else NO_ESTIMATE
    )


# --- as text ---


def sentences(found: Difference) -> list[str]:
    """The result in sentences, numbers first."""
    a, b = found.names
    lines = [
        f"{a} → {b}: {found.sizes[0]} and {found.sizes[1]} points, {found.shared} in both; "
        f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed."
    ]
    if found.allowed:
        lines.append(f"Allowed to differ: {listing(found.allowed)}.")
    lines.append("Flips: " + ", ".join(f"{len(found.flips[word])} {word}" for word in FLIPS) + ".")
    moved = [arm for arm in found.arms if not arm.same]
    if not moved:
        lines.append(
            "Every arm of both is the very same: no score differs."
            if found.arms
            else "No arm is in both: there is no score to compare."
        )
        return lines
    apart = [arm for arm in moved if arm.difference.low > 0 or arm.difference.high < 0]
    change = found.overall
    lines.append(
        f"Mean {found.metric} over {len(found.arms)} shared arms:"
        f" {with_interval(change, 3, sign=True)} (second"
        f" minus first, 95 % interval over seeds, n = {change.n} points)."
    )
    lines.append(
        f"Of {count(len(moved), 'arm')} that changed, {len(apart) or 'none'}"
        f" {'have' if len(apart) > 1 else 'has'} an interval apart from 0: by chance alone about 1"
        " in 20 would, and none is corrected for that."
    )
    return lines


def text(found: Difference, most: int) -> str:
    """The comparison for a terminal, with at most `most` lines per list."""
    blocks = ["\n".join(sentences(found))]
    for title, points in (
        ("added", found.added),
        ("removed", found.removed),
        ("changed", found.changed),
    ):
        blocks += _block(title, [f"{arm}, seed {seed}: {what}" for arm, seed, what in points], most)
    for word, flips in found.flips.items():
        blocks += _block(
            f"{word} flips", [f"{arm}, seed {seed}: {what}" for arm, seed, what in flips], most
        )
    blocks += _block(
        "findings that changed", [f"{what}: {change}" for what, change in found.findings], most
    )
    blocks += _block(
        "settings of changed points",
        [f"{key}: {one} → {other} ({n} points)" for (key, one, other), n in found.settings.items()],
        most,
    )
    blocks += _block(
        f"{found.metric} by arm, second minus first",
        [f"{arm.label}: {arm_words(arm)}" for arm in found.arms if not arm.same],
        most,
    )
    return "\n\n".join(blocks)


def _block(title: str, rows: Sequence[str], most: int) -> list[str]:
    more = [f"  … and {len(rows) - most} more (--html shows all)"] if len(rows) > most else []
    return (
        ["\n".join([f"{title} ({len(rows)})", *(f"  {row}" for row in rows[:most]), *more])]
        if rows
        else []
    )


def arm_words(arm: ArmChange) -> str:
    """For example: +0.02 [−0.01, 0.05], n 3 and 3."""
    change = arm.difference
    return f"{with_interval(change, 3, sign=True)}, n {arm.first.n} and {arm.second.n}"
