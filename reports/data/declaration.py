"""Checks the form of a study's declaration, and restricts it to some levels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from reports.formatting import listing
from study.records import StudyError


def malformed_part(declaration: Any) -> str | None:
    """The part of the declaration that has the wrong form; None if all is well."""
    if not isinstance(declaration, Mapping):
        return "the declaration"
    forms = {
        "grid": (
            lambda grid: (
                isinstance(grid, list)
                and all(map(_point, grid))
                and len({point["id"] for point in grid}) == len(grid)
            )
        ),
        "factors": (
            lambda factors: (
                isinstance(factors, Mapping)
                and all(
                    isinstance(levels_of, list) and levels_of and all(map(_scalar, levels_of))
                    for levels_of in factors.values()
                )
            )
        ),
        "seeds": lambda seeds: isinstance(seeds, list) and all(map(_whole, seeds)),
        "excluded": (
            lambda excluded: (
                isinstance(excluded, list)
                and all(isinstance(one, Mapping) and _labels(one.get("labels")) for one in excluded)
            )
        ),
        "fixed": _labels,
        "tasks": lambda tasks: isinstance(tasks, Mapping) and all(map(_task, tasks.values())),
        "health": lambda health: isinstance(health, Mapping),
    }
    for key, fits in forms.items():
        if key in declaration and not fits(declaration[key]):
            return f"its {key}"
    if "grid" in declaration and "factors" in declaration:
        levels = {
            key: {str(level) for level in levels_of}
            for key, levels_of in declaration["factors"].items()
        }
        stated = {
            key for point in declaration["grid"] for key in point["labels"]
        }  # points may omit a factor of one level
        if any(
            str(point["labels"].get(key)) not in levels_of or key not in point["labels"]
            for point in declaration["grid"]
            for key, levels_of in levels.items()
            if key in stated
        ):
            return "its grid, which lacks factors or has levels that they lack,"
    return None


def _scalar(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, str | int | bool)
        or (isinstance(value, float) and math.isfinite(value))
    )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _labels(labels: Any) -> bool:
    return isinstance(labels, Mapping) and all(map(_scalar, labels.values()))


def _point(point: Any) -> bool:
    return (
        isinstance(point, Mapping)
        and isinstance(point.get("id"), str)
        and _whole(point.get("seed"))
        and _labels(point.get("labels"))
    )


def _task(facts: Any) -> bool:
    numbers = ("baseline", "baseline_loss", "solved")
    return (
        isinstance(facts, Mapping)
        and all(
            isinstance(facts.get(name, 0.0), int | float) and math.isfinite(facts.get(name, 0.0))
            for name in numbers
            if not (name == "solved" and facts.get(name, 0.0) is None)  # there is no rule
        )
        and all(facts.get(name) is None or _whole(facts[name]) for name in ("lag", "steps"))
        and isinstance(facts.get("metric", ""), str)
        and isinstance(facts.get("metrics", []), list | tuple)
        and all(map(_metric, facts.get("metrics", [])))
    )


def _metric(one: Any) -> bool:
    return (
        isinstance(one, Mapping)
        and all(isinstance(one.get(key), str) for key in ("name", "text"))
        and all(isinstance(one.get(key), int | float) for key in ("perfect",))
        and all(
            one.get(key) is None or isinstance(one[key], int | float)
            for key in ("guess", "low", "high")
        )
        and isinstance(one.get("by_example"), bool)
        and one.get("higher_is_better") in (True, False, None)
    )


def malformed_launches(launches: Any) -> str | None:
    """As `malformed_part`, for the launches."""
    fits = isinstance(launches, list) and all(map(_launch, launches))
    return None if fits else "its launches"


def _launch(launch: Any) -> bool:
    if not isinstance(launch, Mapping):
        return False
    seconds = launch.get("seconds")
    return (
        seconds is None or (isinstance(seconds, int | float) and math.isfinite(seconds))
    ) and all(
        launch.get(name) is None or isinstance(launch[name], Mapping)
        for name in ("git", "versions")
    )


def restrict(declaration: Mapping[str, Any], levels: Mapping[str, Any]) -> Mapping[str, Any]:
    """The declaration with only the points of its grid that have these levels.

    `levels`: one level per factor or fixed setting, or a list of levels; `seed` as well. StudyError
    if the study has no such factor or level, or no point that has them all.
    """
    factors: Mapping[str, list[Any]] = declaration["factors"]
    known = {
        **factors,
        **{key: [level] for key, level in declaration.get("fixed", {}).items()},
        "seed": declaration["seeds"],
    }
    wanted = {key: _texts(value) for key, value in levels.items()}
    for key, texts in wanted.items():
        if key not in known:
            raise StudyError(
                f"{key}: no factor or setting of this study. Factors: {listing(factors)};"
                f" settings: {listing(key for key in known if key not in factors)}."
            )
        allowed = [str(level) for level in known[key]]
        for text in texts:
            if text not in allowed:
                raise StudyError(
                    f"{key}={text}: no such level in this study. Levels of {key}:"
                    f" {listing(allowed)}."
                )

    def matches(point: Mapping[str, Any]) -> bool:
        labels = {"seed": point["seed"], **point["labels"]}
        return all(
            str(labels.get(key, known[key][0])) in texts for key, texts in wanted.items()
        )  # points may omit a factor of one level

    grid = [point for point in declaration["grid"] if matches(point)]
    if not grid:
        asked = ", ".join(f"{key}={listing(texts)}" for key, texts in wanted.items())
        raise StudyError(f"{asked}: no point of this study has these levels together.")
    return {
        **declaration,
        "grid": grid,
        "factors": {
            key: [level for level in levels_of if key not in wanted or str(level) in wanted[key]]
            for key, levels_of in factors.items()
        },
        "seeds": [
            seed
            for seed in declaration["seeds"]
            if "seed" not in wanted or str(seed) in wanted["seed"]
        ],
    }


def _texts(levels: Any) -> list[str]:
    several = isinstance(levels, Iterable) and not isinstance(levels, str)
    return [str(level) for level in (levels if several else [levels])]
