"""Runs, checked one by one: labels, seed, score, how it ended, and what else was recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from study.adopt.factors import Factors, levels_of, missing, number
from study.adopt.histories import Table
from study.adopt.options import STATUS, Options
from study.adopt.source import Source
from study.records import CHOICES, POINTS, SIZES, StudyError

ENDS = {
    "done": ("done", "finished", "completed", "complete", "success", "succeeded", "ok"),
    "diverged": ("diverged", "nan"),
    "failed": ("failed", "crashed", "killed", "error", "unfinished", "running", "preempted"),
    "pruned": ("pruned", "stopped"),
}
NO_SCORE = ("", "nan", "none", "null", "na", "n/a", "inf", "-inf", "infinity", "-infinity", "-")
# Columns of the names of records.POINTS that are taken as what they say.
TAKEN = (
    "score_se",
    "final_score",
    "train_score",
    "baseline",
    "baseline_loss",
    "solved_at",
    "diverged_at",
    "params",
    "updates",
    "updates_done",
    "seconds",
)
KINDS = {column.name: column.kind for column in POINTS}


@dataclass(frozen=True)
class Run:
    """One run. `labels`: levels of factors by their keys; `row`: columns of records.POINTS."""

    where: str
    seed: int
    labels: Mapping[str, Any]
    row: Mapping[str, Any]
    history: Table = field(default_factory=dict)


def checked_runs(
    source: Source, options: Options, factors: Factors, histories: Mapping[int, Table]
) -> list[Run]:
    """All runs of the source. Raises StudyError that names the row."""
    columns = {name: levels_of(source.rows[name].tolist()) for name in factors.names}
    labels = [
        {
            factors.keys[name]: _level(values[at], name, source.where[at])
            for name, values in columns.items()
        }
        for at in range(len(source.rows))
    ]
    seeds = _seeds(source, options, labels)
    _distinct(source, labels, seeds)
    taken = [name for name in TAKEN if name in source.rows and name not in factors.names]
    made = []
    for at, record in enumerate(source.rows.to_dict("records")):
        history = histories.get(at, {})
        row = _row(record, source.where[at], options, taken, history)
        fixed = {**factors.fixed, **labels[at]}
        row |= {name: str(fixed[name]) for name in CHOICES if name in fixed}
        row |= {name: fixed[name] for name in SIZES if isinstance(fixed.get(name), int)}
        if not isinstance(row.get("task"), str):
            row["task"] = options.name
        made.append(Run(source.where[at], seeds[at], labels[at], row, history))
    return made


def _level(value: object, name: str, where: str) -> object:
    if value is None:
        raise StudyError(f"factors: {where} has no level of {name}")
    return value


def _seeds(source: Source, options: Options, labels: Sequence[Mapping[str, Any]]) -> list[int]:
    """Of the column, or else the number of each row among those of its arm."""
    if options.seed is None:
        before: dict[tuple[str, ...], int] = {}
        seeds = []
        for own in labels:
            arm = tuple(str(one) for one in own.values())
            seeds.append(before.setdefault(arm, 0))
            before[arm] += 1
        return seeds
    found = []
    for value, where in zip(source.rows[options.seed], source.where, strict=True):
        seed = number(value)
        if not isinstance(seed, int) or abs(seed) >= 2**53:
            raise StudyError(f"seed: must be whole numbers, {where} has {value!r}")
        found.append(seed)
    return found


def _distinct(source: Source, labels: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> None:
    first: dict[tuple[str, ...], str] = {}
    for own, seed, where in zip(labels, seeds, source.where, strict=True):
        key = (*(str(one) for one in own.values()), str(seed))
        if key in first:
            raise StudyError(
                f"{first[key]} and {where} are the same run ({described(own, seed)}): each arm has"
                " one run per seed. If something else tells them apart, make it a factor"
            )
        first[key] = where


def described(labels: Mapping[str, Any], seed: int) -> str:
    return ", ".join([*(f"{key} {level}" for key, level in labels.items()), f"seed {seed}"])


def _row(
    record: Mapping[str, Any], where: str, options: Options, taken: Sequence[str], history: Table
) -> dict[str, Any]:
    """Columns of records.POINTS; what was not recorded is left out."""
    better = max if options.higher_is_better else min
    score = _number(record[options.score], options.score, where)
    status, reason = _end(record, score, options, where)
    values: dict[str, Any] = {"score": score}
    for name, column in (("val_score", options.val_score), ("val_loss", options.val_loss)):
        if column is not None:
            values[name] = _number(record[column], column, where)
    for name in taken:
        values[name] = _number(record[name], name, where, KINDS[name])
    if isinstance(options.baseline, str):
        values["baseline"] = _number(record[options.baseline], options.baseline, where)
    elif options.baseline is not None:
        values["baseline"] = float(options.baseline)
    validations = [
        (at, value)
        for at, value in zip(history.get("update", []), history.get("val_score", []), strict=False)
        if value is not None and math.isfinite(value)
    ]
    if validations and values.get("val_score") is None:
        values["val_score"] = better(value for _, value in validations)
    if history:
        values.setdefault("updates_done", history["update"][-1])
    solved = _solved(values, validations, options, record)
    if status == "diverged":
        solved["outcome"] = "diverged"
        if "ends_solved" in solved:
            solved["ends_solved"] = False
    values |= solved
    norms = [one for one in history.get("grad_norm", []) if one is not None and math.isfinite(one)]
    if norms:
        values["max_grad_norm"] = max(norms)
    kept = {name: value for name, value in values.items() if value is not None}
    return {"status": status, **({"reason": reason} if reason else {}), **kept}


def _end(
    record: Mapping[str, Any], score: float | None, options: Options, where: str
) -> tuple[str, str]:
    """(status, reason) of a run; without a score it is lost, and its status says how."""
    said = record.get(STATUS)
    reason = "" if missing(record.get("reason")) else str(record["reason"])
    if missing(said):
        return ("done", reason) if score is not None else ("failed", reason or "no score recorded")
    status = next((one for one, words in ENDS.items() if str(said).strip().lower() in words), None)
    if status is None:
        words = ", ".join(word for each in ENDS.values() for word in each)
        raise StudyError(f"status: {where} has {said!r}; it must be one of {words}")
    if status == "done" and score is None:
        return "failed", reason or f"no score recorded ({STATUS} {said})"
    return status, reason or ("" if status == "done" else f"{STATUS} {said}")


def _solved(
    values: Mapping[str, Any],
    validations: Sequence[tuple[int, float]],
    options: Options,
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """Whether the task's rule was met: at the validations of a history, else as the table says,
    else by the validation score, else by the score itself.
    """
    if options.solved is None:
        return {"outcome": _outcome(record, False)}
    limit = options.solved

    def meets(score: float) -> bool:
        return score >= limit if options.higher_is_better else score <= limit

    if validations:
        first = next((at for at, value in validations if meets(value)), None)
        ends = meets(validations[-1][1])
        return {"solved_at": first, "ends_solved": ends, "outcome": _outcome(record, ends)}
    said = str(record.get("ends_solved")).lower()
    if said in ("true", "false"):
        return {"ends_solved": said == "true", "outcome": _outcome(record, said == "true")}
    judged = values["val_score"] if values.get("val_score") is not None else values["score"]
    if judged is None:
        return {}
    return {"ends_solved": meets(judged), "outcome": _outcome(record, meets(judged))}


def _outcome(record: Mapping[str, Any], solved: bool) -> str | None:
    """Solved; a network that did not solve its task may be called stuck, by the table alone."""
    said = record.get("outcome")
    if solved:
        return "solved"
    return str(said) if said in ("learning", "stuck", "silently diverged") else None


def _number(value: object, column: str, where: str, kind: str = "float") -> float | int | None:
    """A number; None for every word that says that there is none."""
    if missing(value) or str(value).strip().lower() in NO_SCORE:
        return None
    found = number(value)
    if found is None or (kind == "int" and not isinstance(found, int)):
        what = "a whole number" if kind == "int" else "a number"
        raise StudyError(f"{column}: {where} has {value!r}, which is not {what}")
    return found if kind == "int" else float(found)
