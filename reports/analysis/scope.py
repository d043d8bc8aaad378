"""Where a finding was made: the task, its length and lag, the budget, the rate."""

from __future__ import annotations

import pandas as pd

from reports.data.study import Study
from reports.formatting import count, listing


def lengths(study: Study, points: pd.DataFrame) -> list[int]:
    """Lengths T of the sequences of these points, rising; from the task's facts in old stores."""
    return _numbers(study, points, "steps")


def lags(study: Study, points: pd.DataFrame) -> list[int]:
    """Lags that the tasks of these points declare, rising; none if they declare none."""
    return _numbers(study, points, "lag")


def asked_lag(study: Study, points: pd.DataFrame) -> int:
    """The longest memory that a task of these points asks for: its lag, else its length."""
    return max(
        [*lags(study, points), *([] if lags(study, points) else lengths(study, points))] or [0]
    )


def length_words(study: Study, points: pd.DataFrame) -> str:
    """For example: T = 64, or T = 50 to 200."""
    found = lengths(study, points)
    if not found:
        return "length not known"
    ends = f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"
    return f"T = {ends}"


def scope_words(study: Study, points: pd.DataFrame) -> str:
    """For example: digits, T = 64, 400 updates, learning rate 0.01, 3 seeds."""
    tasks = list(dict.fromkeys(str(task) for task in points["task"])) if "task" in points else []
    parts = [listing(tasks[:4]) if len(tasks) <= 4 else count(len(tasks), "task")]
    parts.append(length_words(study, points))
    updates = sorted({int(value) for value in points["updates"].dropna().astype(float)})
    if updates:
        ends = f"{updates[0]:,}" if len(updates) == 1 else f"{updates[0]:,} to {updates[-1]:,}"
        parts.append(f"{ends} updates")
    rate = study.constant.get("optimizer.lr")
    if rate is not None:
        parts.append(f"learning rate {rate}")
    seeds = points["seed"].nunique() if "seed" in points else 0
    return ", ".join([*parts, *([count(seeds, "seed")] if seeds else [])])


def _numbers(study: Study, points: pd.DataFrame, name: str) -> list[int]:
    if name in points and name not in study.factors and points[name].notna().any():
        return sorted({int(value) for value in points[name].dropna().astype(float)})
    tasks = points["task"].unique() if "task" in points else list(study.tasks)
    facts = [study.tasks.get(str(task), study.task) for task in tasks]
    return sorted({int(one[name]) for one in facts if one.get(name)})
