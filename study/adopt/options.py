"""What the user says about the columns, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.adopt.factors import HIGHER, LOWER
from study.adopt.source import Source
from study.records import StudyError

STATUS = "status"


@dataclass(frozen=True)
class Options:
    """Names of columns, and what scores mean. `baseline`: a number or a column."""

    name: str
    factors: Sequence[str] | None
    seed: str | None
    score: str
    metric: str
    higher_is_better: bool
    solved: float | None
    baseline: float | str | None
    val_score: str | None
    val_loss: str | None
    task: str | None
    question: str
    title: str

    @property
    def named(self) -> dict[str, str]:
        """{what it is: column} of all columns that are no factors."""
        of = {
            "seed": self.seed,
            "score": self.score,
            "val_score": self.val_score,
            "val_loss": self.val_loss,
            "baseline": self.baseline if isinstance(self.baseline, str) else None,
        }
        return {what: column for what, column in of.items() if column is not None}


def checked(source: Source, given: Mapping[str, Any]) -> Options:
    """The options for these runs. Raises StudyError."""
    name = given["name"]
    if not isinstance(name, str) or not re.fullmatch(r"[\w][\w. +-]*", name):
        raise StudyError(f"name: must be the name of a folder, such as mine, got {name!r}")
    columns = [str(one) for one in source.rows.columns]
    _present("score", given["score"], columns, source)
    for what in ("val_score", "val_loss", "task"):
        if given[what] is not None:
            _present(what, given[what], columns, source)
    if isinstance(given["baseline"], str):
        _present("baseline", given["baseline"], columns, source)
    seed = given["seed"]
    if seed == "seed" and seed not in columns:
        seed = None  # the default; rows of an arm are then its replicates
    if seed is not None:
        _present("seed", seed, columns, source)
    factors = given["factors"]
    if isinstance(factors, str) or not isinstance(factors, Iterable | None):
        raise StudyError(f"factors: must be a list of columns, got {factors!r}")
    factors = None if factors is None else [str(one) for one in factors]
    for factor in factors or ():
        _present("factors", factor, columns, source)
        if factor in (seed, given["score"]):
            raise StudyError(f"factors: {factor} is the column of seeds or scores")
    task = _task_column(given["task"], factors, columns, source)
    for what in ("solved", "baseline"):
        if not (given[what] is None or _finite(given[what]) or what == "baseline"):
            raise StudyError(f"{what}: must be a number, got {given[what]!r}")
    metric = given["metric"] or _metric(given["score"])
    better = _direction(given["higher_is_better"], given["score"])

    def by_name(column: str) -> str | None:
        """A column that says by its name what it is, unless it was named as a factor."""
        return column if column in columns and column not in (factors or ()) else None

    options = Options(
        name=name,
        factors=factors,
        seed=seed,
        score=given["score"],
        metric=metric,
        higher_is_better=better,
        solved=given["solved"],
        baseline=given["baseline"],
        val_score=given["val_score"] or by_name("val_score"),
        val_loss=given["val_loss"] or by_name("val_loss"),
        task=task,
        question=str(given["question"] or ""),
        title=str(given["title"] or ""),
    )
    if _finite(options.baseline):
        check_rule(options, float(options.baseline), "")  # type: ignore[arg-type]
    return options


def check_rule(options: Options, baseline: float, on: str) -> None:
    """A guess that ignores the sequence must not solve the task."""
    if options.solved is None:
        return
    better = options.solved > baseline if options.higher_is_better else options.solved < baseline
    if not better:
        side, way = ("above", "higher") if options.higher_is_better else ("below", "lower")
        raise StudyError(
            f"solved: must be {side} the baseline ({baseline:g}{on}), since {way} is better; got"
            f" {options.solved:g}"
        )


def _present(what: str, column: object, columns: Sequence[str], source: Source) -> None:
    if column not in columns:
        raise StudyError(
            f"{what}: {source.name} has no column {column!r}; it has {', '.join(columns)}"
        )


def _task_column(
    named: str | None, factors: Sequence[str] | None, columns: Sequence[str], source: Source
) -> str | None:
    """The column of tasks; a varying one must not be left out."""
    if named is not None or "task" not in columns:
        return named
    tasks = list(dict.fromkeys(str(one) for one in source.rows["task"]))
    if len(tasks) > 1 and factors is not None and "task" not in factors:
        raise StudyError(
            f"task: the runs are of {len(tasks)} tasks ({', '.join(tasks[:5])}), whose scores do"
            " not compare; name the column: --task task, or task='task' from Python"
        )
    return "task"


def _metric(score: str) -> str:
    """A column's name without the word test: test_acc, test/acc → acc."""
    return re.sub(r"^(final[_./ -])?test[_./ -]|[_./ -]test$", "", score) or score


def _direction(given: object, score: str) -> bool:
    if isinstance(given, bool):
        return given
    if given is not None:
        raise StudyError(f"higher_is_better: must be true or false, got {given!r}")
    words = re.split(r"[^a-z0-9]+", score.lower())
    found = {word in HIGHER for word in words if word in (*HIGHER, *LOWER)}
    if len(found) != 1:
        raise StudyError(
            f"higher_is_better: say whether a higher {score} is better (--higher-is-better or"
            " --lower-is-better); its name does not tell"
        )
    return found.pop()


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
