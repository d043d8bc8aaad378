"""A study as the report sees it: the declared grid joined with what is stored.

Tables are read once, when asked for.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reports.data.declaration import restrict, wrong, wrong_launches
from reports.formatting import levels
from study.config.paths import conf_folder
from study.records import POINTS, StudyError
from study.store import Store
from study.store.validate import MEND

FIRST = ("cell", "initializer")  # lead rows and columns of every matrix where they vary
MISSING = "missing"
# points whose tables are read: those of more would be gigabytes, and no figure can show them
MOST = 2000
SCORES = (
    "score",
    "val_score",
    "final_score",
    "train_score",
    "baseline",
)  # columns of the points that are in the task's metric
SCORES_OF = {"history": ("val_score",), "test": ("value",)}  # and of tables


class Study:
    """Factors, grid and tables of one study.

    `grid`: one row a declared point, in declared order: id, seed, arm (number from 0), every factor
    by the text of its level, and the columns of records.POINTS; status "missing" where nothing is
    stored. `also`: stored points outside the grid. `factors` are those with more than one level,
    cell and initializer first; `constant` the settings that do not vary.
    """

    def __init__(
        self,
        store: Store,
        points: pd.DataFrame | None = None,
        levels: Mapping[str, Any] | None = None,
    ) -> None:
        """`points`: the store's points, if they have been read already.

        `levels`: restricts the study to points with these levels of factors, as if it had declared
        no others (see declared.restrict).
        """
        self.store = store
        self.folders: list[Path] = [conf_folder()]  # folders with YAML: ours, then the user's
        self._tables: dict[str, pd.DataFrame] = {}
        self._kept: dict[str, Any] = {}
        self.record: Mapping[str, Any] = store.study()
        self.name = str(self.record.get("name", store.folder.name))
        self.title = str(self.record.get("title") or self.name)
        self.question = str(self.record.get("question") or "")
        whole, self.launches = self._declared()
        self.declaration = restrict(whole, levels) if levels else whole
        self.seeds = list(self.declaration["seeds"])
        self._set_factors(self.declaration["factors"])
        self.tasks: Mapping[str, Mapping[str, Any]] = self.declaration.get("tasks", {})
        self.health: Mapping[str, Any] = self.declaration.get("health", {})
        metrics = {
            (facts.get("metric"), bool(facts.get("higher_is_better", True)))
            for facts in self.tasks.values()
        }
        self.as_skill = len(metrics) > 1
        stored = _plain(store.points(cores()) if points is None else points)
        if self.as_skill:
            stored = self._skill(stored, SCORES, ("score_se",), stored["task"])
        declared = [
            {"id": point["id"], "seed": point["seed"], **_texts(point["labels"])}
            for point in self.declaration["grid"]
        ]
        self.grid = self._join(pd.DataFrame(declared), stored)
        self.outside_grid = stored[~stored["id"].isin([point["id"] for point in whole["grid"]])]

    def _declared(self) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
        """Declaration and launches of study.json; StudyError if they are missing or damaged."""
        try:
            declaration, launches = self.record["declaration"], self.record["launches"]
            for key in ("grid", "factors", "seeds"):
                declaration[key]
        except (KeyError, TypeError) as error:
            raise StudyError(
                f"study.json of {self.name}: {error} is missing, so the declared grid is unknown."
                " Run the study again."
            ) from error
        if damage := wrong(declaration) or wrong_launches(launches):
            raise StudyError(
                f"study.json of {self.name}: damaged ({damage} is of another form). {MEND}"
            )
        return declaration, launches

    def _set_factors(self, declared: Mapping[str, Sequence[Any]]) -> None:
        """Factors with more than one level, cell and initializer first; the rest is constant."""
        texts = {key: [str(label) for label in labels] for key, labels in declared.items()}
        varied = [key for key, labels in texts.items() if len(labels) > 1]
        order = [*(key for key in FIRST if key in varied), *(k for k in varied if k not in FIRST)]
        self.factors = {key: texts[key] for key in order}
        self.constant = {
            key: str(label) for key, label in self.declaration.get("fixed", {}).items()
        }
        self.constant |= {key: labels[0] for key, labels in texts.items() if len(labels) == 1}

    def _skill(
        self, rows: pd.DataFrame, scores: Sequence[str], errors: Sequence[str], task: pd.Series
    ) -> pd.DataFrame:
        """Scores of tasks with several metrics on one scale: (score - baseline)/(perfect -
        baseline), perfect 1, or 0 for errors.

        0 is the memoryless baseline, 1 is perfect, less than 0 is worse than ignoring the sequence.
        """
        facts = {
            name: (float(of["baseline"]), 1.0 if of.get("higher_is_better", True) else 0.0)
            for name, of in self.tasks.items()
        }
        baseline, perfect = (
            task.map(
                lambda name, which=which: facts[name][which] if name in facts else float("nan")
            ).astype(float)
            for which in (0, 1)
        )
        turned = {
            name: (rows[name].astype(float) - baseline) / (perfect - baseline) for name in scores
        }
        turned |= {name: rows[name].astype(float) / (perfect - baseline).abs() for name in errors}
        return rows.assign(**turned)

    def _join(self, grid: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
        if grid.empty:
            grid = pd.DataFrame(columns=["id", "seed", *self.factors])
        for key in {*self.factors, *self.matrix_factors}:
            if key not in grid:
                grid[key] = self.levels(key)[0]
        order = {combination: number for number, combination in enumerate(self.declared_arms)}
        present = (
            [order[tuple(row)] for row in grid[list(self.factors)].itertuples(index=False)]
            if self.factors
            else [0] * len(grid)
        )
        grid = grid.assign(order=present).sort_values(["order", "seed"], kind="stable")
        grid["arm"] = pd.factorize(grid["order"])[0]
        kept = [column for column in stored.columns if column == "id" or column not in grid.columns]
        joined = (
            grid.drop(columns="order")
            .merge(stored[kept], on="id", how="left")
            .reset_index(drop=True)
        )
        for name in (
            name for name in joined.columns if not pd.api.types.is_numeric_dtype(joined[name])
        ):
            joined[name] = (
                joined[name].astype(object).where(joined[name].notna(), None)
            )  # a merge fills with NaN, which is no text
        joined["status"] = [status or MISSING for status in joined["status"]]
        return joined

    @property
    def matrix_factors(self) -> tuple[str, str]:
        """Factors of rows and columns: the first two that vary, else settings that do not."""
        keys = [*self.factors, *(key for key in FIRST if key not in self.factors)]
        return keys[0], keys[1]

    @property
    def panel_factors(self) -> tuple[str, str]:
        """As `matrix_factors`, but never the task: what is drawn a task at a time, since tasks have updates,
        lags and scores of their own.
        """
        keys = [key for key in dict.fromkeys([*self.factors, *FIRST]) if key != "task"]
        return keys[0], keys[1]

    @property
    def by_task(self) -> list[str | None]:
        """Tasks to be told one by one; [None] where there is one."""
        return list(self.levels("task")) if "task" in self.factors else [None]

    @property
    def other_factors(self) -> list[str]:
        """Factors that are neither rows nor columns."""
        return [key for key in self.factors if key not in self.matrix_factors]

    def levels(self, key: str) -> list[str]:
        """Levels in declared order; the one level of a setting that does not vary."""
        return self.factors.get(key) or [self.constant.get(key, "–")]

    def combinations(self, keys: Sequence[str]) -> list[dict[str, str]]:
        """Every combination of the levels of these factors, in declared order; one empty
        combination for none.
        """
        return [
            dict(zip(keys, row, strict=True)) for row in itertools.product(*map(self.levels, keys))
        ]

    @functools.cached_property
    def declared_arms(self) -> list[tuple[str, ...]]:
        """Every combination of levels, excluded ones too, in declared order."""
        return list(itertools.product(*self.factors.values()))

    @functools.cached_property
    def arms(self) -> pd.DataFrame:
        """One row an arm of the grid: arm, label, and its levels."""
        arms = self.grid.drop_duplicates("arm")[
            ["arm", *dict.fromkeys([*self.factors, *self.matrix_factors])]
        ].reset_index(drop=True)
        arms["label"] = [
            levels(dict(zip(self.factors, row, strict=True)))
            for row in arms[list(self.factors)].itertuples(index=False)
        ]
        return arms

    @property
    def stored(self) -> pd.DataFrame:
        """Points of the grid that trained: done, diverged or pruned."""
        return self.grid[~self.grid["status"].isin([MISSING, "failed"])]

    @functools.cached_property
    def sampled(self) -> pd.DataFrame:
        """Points of `stored` whose tables are read: all, or in a large study as many of every arm's
        first seeds as make MOST.
        """
        stored = self.stored
        if len(stored) <= MOST:
            return stored
        rank = stored.groupby("arm").cumcount()
        whole = int((rank.value_counts().sort_index().cumsum() <= MOST).sum())  # seeds of every arm
        return stored[rank < whole] if whole else stored[rank == 0].head(MOST)

    def for_listing(self, points: pd.DataFrame) -> pd.DataFrame:
        """Of points that are told one by one: all, or of more than MOST those that are sampled,
        else the first.
        """
        if len(points) <= MOST:
            return points
        some = points[points["id"].isin(self.sampled["id"])]
        return some if len(some) else points.head(MOST)

    @property
    def sampling_note(self) -> str:
        """What the page of a large study is about, in words; "" where every figure is of every
        point.
        """
        if len(self.sampled) == len(self.stored):
            return ""
        arms, some = self.arms["arm"].nunique(), self.sampled["arm"].nunique()
        which = (
            f"the first {len(self.sampled) / some:.0f} seeds of each arm"
            if some == arms
            else f"one point of each of the first {some:,} of {arms:,} arms"
        )
        told = (
            "Scores, verdicts, outcomes, costs and every test on them are of all"
            f" {len(self.stored):,} points."
        )
        return (
            f"{told} Curves, profiles, states by stage, results by example and how health goes with"
            f" success are of {len(self.sampled):,} points: {which}. Of more than {MOST:,} points,"
            " no list and no figure of marks shows more than that."
        )

    @property
    def task(self) -> Mapping[str, Any]:
        """Facts of the task, where the study has one; {} where several."""
        return next(iter(self.tasks.values())) if len(self.tasks) == 1 else {}

    @property
    def metric(self) -> str:
        return (
            "skill"
            if self.as_skill
            else str(next(iter(self.tasks.values()), {}).get("metric", "score"))
        )

    @property
    def higher_is_better(self) -> bool:
        return self.as_skill or all(
            bool(facts.get("higher_is_better", True)) for facts in self.tasks.values()
        )

    def why_excluded(self, labels: Mapping[str, str]) -> str | None:
        """The reason a combination of levels was left out of the grid; None if it was not."""
        for one in self.declaration.get("excluded", []):
            said = _texts(one["labels"])
            if all(labels.get(key, self.constant.get(key)) == text for key, text in said.items()):
                return str(one.get("why", "no reason given"))
        return None

    def cached(self, name: str, make: Callable[[], Any]) -> Any:
        """What several sections need and is read or computed only once: made when first asked for."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def table(self, name: str) -> pd.DataFrame:
        """A table of records.TABLES over the grid's points, with the point's arm, seed and factors
        beside each row.
        """
        if name not in self._tables:
            rows = self.with_factors(self.store.table(name, self.sampled["id"]))
            if self.as_skill and name in SCORES_OF and len(rows):
                rows = self._skill(
                    rows, SCORES_OF[name], (), rows["id"].map(self.stored.set_index("id")["task"])
                )
            self._tables[name] = rows
        return self._tables[name]

    def with_factors(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of a table with the point's arm, seed and factors beside each."""
        # One text per point and not per row: 100 MB less for a million rows.
        rows["id"] = rows["id"].astype("category").astype(object)
        for column in ("probe", "layer", "state"):
            if column in rows:  # comparisons take a tenth of the time
                rows[column] = rows[column].astype("category")
        keys = ["id", "arm", "seed", *dict.fromkeys([*self.factors, *self.matrix_factors])]
        return rows.merge(self.grid[keys], on="id", how="left")


def cores() -> int:
    """Processes that may share work as forks of this one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _texts(labels: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(label) for key, label in labels.items() if key != "seed"}


def _plain(points: pd.DataFrame) -> pd.DataFrame:
    """Numbers as floats with NaN, text and truth as objects with None: no pandas NA further on."""
    kinds = {column.name: column.kind for column in POINTS}
    plain = {}
    for name in points.columns:
        if kinds.get(name) in ("int", "float"):
            plain[name] = points[name].astype("float64")
        else:
            values = points[name].astype(object)
            plain[name] = values.where(values.notna(), None)
    return pd.DataFrame(plain, columns=points.columns)
