"""Studies in memory whose truth is known: the numbers of each point are given by a function."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.data.study import Study
from study.records import POINTS, TABLES, StudyError
from study.store import Store
from tests.reports.synthetic import HEALTH, TASK

FIXED = {
    "task": "digits",
    "cell": "lstm",
    "initializer": "orthogonal",
    "clip": "norm",
    "optimizer": "adam",
    "readout": "last",
    "depth": 1,
    "hidden": 32,
    "batch": 64,
    "updates": 400,
    "optimizer.lr": 0.01,
}
PointOf = Callable[[Mapping[str, Any], int, np.random.Generator], Mapping[str, Any]]


class MemoryStore(Store):
    """A store of points and tables that are in memory; it has no files."""

    def __init__(self, record: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> None:
        super().__init__(Path("nowhere") / "known")
        self._record, self._tables = record, tables

    def study(self) -> Any:
        return self._record

    def table(self, name: str, ids: Iterable[str]) -> pd.DataFrame:
        columns = ["id", *(column.name for column in TABLES[name])]
        frame = self._tables.get(name, pd.DataFrame(columns=columns))
        return frame[frame["id"].isin(list(ids))].reindex(columns=columns).copy()

    def result(self, id: str) -> Any:
        raise StudyError(f"{id}: only in memory")

    def config(self, id: str) -> Any:
        raise StudyError(f"{id}: only in memory")


def known_study(
    factors: Mapping[str, Sequence[Any]],
    point: PointOf,
    *,
    seeds: int = 5,
    task: Mapping[str, Any] | None = None,
    excluded: Callable[[Mapping[str, Any]], bool] = lambda labels: False,
    missing: Callable[[Mapping[str, Any], int], bool] = lambda labels, seed: False,
    claims: Sequence[Mapping[str, Any]] = (),
    contrasts: Sequence[Mapping[str, Any]] = (),
    examples: int = 0,
    tables: Mapping[str, pd.DataFrame] | None = None,
    draw: int = 0,
) -> Study:
    """A study over all combinations of `factors` that are not `excluded`, but for `missing` points.

    `point(labels, seed, rng)` gives columns of records.POINTS, at least `score`; validation and
    training scores equal it, D is −1 and the state carrying unless given. `examples`: number of
    test examples (accuracy), which an arm finds hard in all its seeds alike; 0: none are kept.
    """
    facts = {**TASK, **(task or {})}
    rng = np.random.default_rng([18, draw])
    grid, rows, left_out, test = [], [], [], []
    for number, (*levels, seed) in enumerate(itertools.product(*factors.values(), range(seeds))):
        labels = dict(zip(factors, levels, strict=True))
        if excluded(labels):
            left_out.append({"labels": labels, "why": "excluded here"})
            continue
        id = f"{number:016x}"
        grid.append({"id": id, "seed": seed, "labels": labels})
        if missing(labels, seed):
            continue
        row = _row({**FIXED, **labels}, facts, dict(point(labels, seed, rng)))
        if examples:
            # Seeds of an arm find the same examples hard, so that more seeds do not help.
            hard = np.random.default_rng([draw, zlib.crc32(repr(levels).encode())]).random(examples)
            correct = (hard < row["score"]).astype(float)
            row |= {"score": correct.mean(), "score_se": correct.std(ddof=1) / examples**0.5}
            test.append(pd.DataFrame({"id": id, "example": range(examples), "value": correct}))
        rows.append({"id": id, "seed": seed, **row})
    declaration = {
        "factors": {key: list(levels) for key, levels in factors.items()},
        "seeds": list(range(seeds)),
        "excluded": left_out,
        "arms": [],
        "claims": list(claims),
        "contrasts": list(contrasts),
        "fixed": {key: value for key, value in FIXED.items() if key not in factors},
        "grid": grid,
        "tasks": {str(name): facts for name in factors.get("task", ["digits"])},
        "health": HEALTH,
    }
    record = {"name": "known", "declaration": declaration, "launches": []}
    kept = {**(tables or {}), **({"test": pd.concat(test)} if test else {})}
    columns = [column.name for column in POINTS]
    points = pd.DataFrame(rows).reindex(columns=["id", "seed", *columns[1:]])
    points = points.loc[:, ~points.columns.duplicated()]
    return Study(MemoryStore(record, kept), points)


def _row(
    setting: Mapping[str, Any], facts: Mapping[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    """A point's row: what is given, and what follows from it."""
    names = {column.name for column in POINTS}
    score = float(given["score"])
    val = float(given.get("val_score", score))
    met = val >= facts["solved"] if facts["higher_is_better"] else val <= facts["solved"]
    D = float(given.get("D", -1.0))
    row = {
        **{key: value for key, value in setting.items() if key in names},
        "status": "done",
        "score": score,
        "score_se": 0.0,
        "val_score": val,
        "final_score": score,
        "train_score": score,
        "baseline": facts["baseline"],
        "baseline_loss": facts["baseline_loss"],
        "val_loss": 0.4,
        "outcome": "solved" if met else "learning",
        "solved_at": 200.0 if met else math.nan,
        "ends_solved": bool(met),
        "D_init": D,
        "D": D,
        "U_init": 0.1,
        "U": 0.1,
        "state_init": _state(D),
        "state": _state(D),
        "verdict": "carries" if D >= -2 else "shut",
        "horizon_init": 20.0,
        "horizon": 20.0,
        "clip_rate": 0.0,
        "max_grad_norm": 3.0,
        "params": 1000.0,
        "updates": float(setting["updates"]),
        "updates_done": float(setting["updates"]),
        "steps": float(setting.get("task.steps", facts["steps"])),
        "lag": float(setting.get("task.steps", facts["lag"])),
        "seconds": 3.0,
    }
    return row | given


def _state(D: float) -> str:
    return "carrying" if D >= -2 else "fading" if D >= -4 else "vanishing"
