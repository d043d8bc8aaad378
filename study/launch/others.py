"""Points in a study's folder that a launch does not have: those of earlier, larger launches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from study.interfaces import Point
from study.records import NOT_IDENTITY, StudyError
from study.store import Damaged, Store

SHOWN = 3  # levels or settings named of a longer list


def others(store: Store, there: Collection[str], points: Sequence[Point]) -> str:
    """How many stored points are not in `points`, and what they differ in; "" if there are none.

    `there`: ids of all stored points.
    """
    ids = set(there) - {point.id for point in points}
    if not ids:
        return ""
    declared = [each for each in _grid(store) if each["id"] in ids]
    found = (_levels(declared, points), _settings(store, declared, points))
    differ = "; ".join(each for each in found if each)
    count = f"{len(ids):,} point{'s' if len(ids) > 1 else ''}"
    return f"{count} ({differ})" if differ else count


def _grid(store: Store) -> list[dict[str, Any]]:
    """The points of the last launch, with labels and seeds."""
    try:
        grid = store.study()["declaration"]["grid"]
    except (OSError, StudyError, LookupError, TypeError):  # checked where it is written
        return []
    return [{"id": each["id"], "labels": {**each["labels"], "seed": each["seed"]}} for each in grid]


def _levels(declared: Sequence[Mapping[str, Any]], points: Sequence[Point]) -> str:
    """Levels and seeds that none of the points has."""
    now: dict[str, set[Any]] = {}
    for point in points:
        for key, value in {**point.labels, "seed": point.seed}.items():
            now.setdefault(key, set()).add(value)
    gone: dict[str, dict[Any, None]] = {}
    for each in declared:
        for key, value in each["labels"].items():
            if key in now and value not in now[key]:
                gone.setdefault(key, {})[value] = None
    return "; ".join(f"{key} {_shown(list(values))}" for key, values in gone.items())


def _settings(store: Store, declared: Sequence[Mapping[str, Any]], points: Sequence[Point]) -> str:
    """Other settings of a stored point that has the levels of a point of this launch."""
    named = {_name({**point.labels, "seed": point.seed}): point for point in points}
    for each in declared:
        if (point := named.get(_name(each["labels"]))) is None:
            continue
        try:
            then, now = values(store.config(each["id"])), values(point.config)
        except (Damaged, OSError):
            continue
        differ = [
            f"{key} {value}"
            for key, value in then.items()
            if key in now and now[key] != value and key.split(".")[0] not in NOT_IDENTITY
        ]
        return _shown(differ)
    return ""


def _name(labels: Mapping[str, Any]) -> str:
    return str(sorted((key, str(value)) for key, value in labels.items()))


def _shown(items: Sequence[Any]) -> str:
    rest = len(items) - SHOWN
    return ", ".join(map(str, items[:SHOWN])) + (f" and {rest} more" if rest > 0 else "")


def values(node: Any, path: str = "") -> dict[str, Any]:
    """The values of a configuration by dotted key."""
    if not isinstance(node, Mapping):
        return {path: node}
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= values(value, f"{path}.{key}" if path else str(key))
    return found
