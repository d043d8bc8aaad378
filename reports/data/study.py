"""A study: the declared grid joined with its stored points. Tables are read when needed."""

from __future__ import annotations

import functools
import itertools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.data.declaration import malformed_launches, malformed_part, restrict
from reports.data.judged_again import judge_again, with_layers, with_verdicts
from reports.formatting import as_number, keys_of, level, levels, rekeyed
from study.config.paths import conf_folder
from study.design.outcomes import solved_at_end
from study.design.power import is_share
from study.design.problems import of_problem
from study.records import POINTS, SIZES, STATUSES, StudyError
from study.store import Store
from study.store.ends import with_ends
from study.store.race import check_not_held_out
from study.store.validate import mend

FIRST = ("cell", "initializer")  # rows and columns of every matrix, if they vary
MISSING = "missing"
UNKNOWN = "–"  # the level of a setting that is not known
NO_RULE = "There is no rule for solved: a guess that does not read the sequence would meet any"
NO_RULE_GIVEN = "No rule says when a network counts as solved"
# Most points whose tables are read: more would be gigabytes, and no figure can show them.
MOST = 2000
SCORES = (
    "score",
    "val_score",
    "final_score",
    "train_score",
    "baseline",
)  # columns in the task's metric
TABLE_SCORES = {"history": ("val_score",), "test": ("value",)}  # the same, of tables


@dataclass(frozen=True)
class Problem:
    """One task at one of its settings. `levels`: of the factors that make it, maybe none."""

    levels: Mapping[str, str]

    @property
    def name(self) -> str:
        """For sentences: digits, or adding, steps 50; empty if the study has one problem."""
        return ", ".join(level(key, label) for key, label in self.levels.items())

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Those of these rows (points or arms) that are about this problem."""
        for key, label in self.levels.items():
            rows = rows[rows[key] == label]
        return rows


class Study:
    """Factors, grid and tables of one study.

    `grid`: one row per declared point, in declared order: id, seed, arm (number from 0), the label
    of each factor's level, and the columns of records.POINTS; status "missing" if nothing is
    stored. A factor's column holds the text of its levels; the numbers of a size that is a
    factor (depth, hidden, batch, updates) stand under formatting.as_number of its name.
    Outcome "solved" is that of the end: a point that met the rule at some time (`solved_at`) and
    not at its last validation is "learning". `outside_grid`: stored points that are not declared.
    `factors`: those with more than one level, cell and initializer first; `constant`: settings
    that do not vary. `judged_again`: points whose verdict is not the stored one
    (data.judged_again).
    """

    def __init__(
        self,
        store: Store,
        points: pd.DataFrame | None = None,
        levels: Mapping[str, Any] | None = None,
        *,
        only_counted: bool = False,
    ) -> None:
        """`points`: the store's points, if they have been read already. `only_counted`: no score
        is read, so a race that holds its test data out does not mind; else StudyError before its
        end.

        `levels`: restricts the study to points with these levels of factors, as if it had declared
        no others (see declaration.restrict).
        """
        if not only_counted:
            check_not_held_out(store.folder)
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
        named = keys_of(self.factors)
        self.declaration = {
            **self.declaration,
            **{
                part: rekeyed(self.declaration[part], named)
                for part in ("claims", "contrasts", "arms", "excluded")
                if part in self.declaration
            },
        }
        self.tasks: Mapping[str, Mapping[str, Any]] = self.declaration.get("tasks", {})
        self.health: Mapping[str, Any] = self.declaration.get("health", {})
        metrics = {
            (facts.get("metric"), bool(facts.get("higher_is_better", True)))
            for facts in self.tasks.values()
        }
        self.as_skill = len(metrics) > 1
        stored = _plain(store.points(cores()) if points is None else points)
        self.judged_again = judge_again(store, stored, self.health)
        stored = with_verdicts(store, stored, self.judged_again)
        stored = self._with_ends(stored)
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
        if damage := malformed_part(declaration) or malformed_launches(launches):
            raise StudyError(
                f"study.json of {self.name}: damaged ({damage} is of another form)."
                f" {mend(self.store.folder)}"
            )
        return declaration, launches

    def _set_factors(self, declared: Mapping[str, Sequence[Any]]) -> None:
        """Factors with more than one level, cell and initializer first; the rest is constant."""
        texts = {key: [str(label) for label in labels] for key, labels in declared.items()}
        varied = [key for key, labels in texts.items() if len(labels) > 1]
        order = [*(key for key in FIRST if key in varied), *(k for k in varied if k not in FIRST)]
        self.factors: dict[str, list[str]] = {key: texts[key] for key in keys_of(order).values()}
        self.constant = {
            key: str(label) for key, label in self.declaration.get("fixed", {}).items()
        }
        self.constant |= {key: labels[0] for key, labels in texts.items() if len(labels) == 1}

    def _skill(
        self, rows: pd.DataFrame, scores: Sequence[str], errors: Sequence[str], task: pd.Series
    ) -> pd.DataFrame:
        """Scores of tasks with different metrics on one scale.

        (score - baseline)/(perfect - baseline), with perfect = 1, or 0 for errors: 0 is the
        memoryless baseline, 1 is perfect, below 0 is worse than ignoring the sequence. NaN where
        the baseline is perfect.
        """
        facts = {
            name: (float(facts_of["baseline"]), perfect(facts_of))
            for name, facts_of in self.tasks.items()
            if float(facts_of["baseline"]) != perfect(facts_of)
        }
        baseline, best = (
            task.map(
                lambda name, which=which: facts[name][which] if name in facts else float("nan")
            ).astype(float)
            for which in (0, 1)
        )
        turned = {
            name: (rows[name].astype(float) - baseline) / (best - baseline) for name in scores
        }
        turned |= {name: rows[name].astype(float) / (best - baseline).abs() for name in errors}
        return rows.assign(**turned)

    def _with_ends(self, stored: pd.DataFrame) -> pd.DataFrame:
        """Points with `ends_solved`, and outcome "learning" where the end does not meet the rule.

        Older stores have outcome "solved" if any validation met the rule.
        """
        stored = with_ends(self.store, stored, self.tasks)
        ended = stored["outcome"].eq("solved") & ~solved_at_end(stored)
        return stored.assign(outcome=stored["outcome"].mask(ended, "learning"))

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
        displaced = [name for name in SIZES if name in grid and name in stored]
        stored = stored.assign(**{as_number(name): stored[name] for name in displaced})
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
            )  # a merge fills with NaN
        joined["status"] = [status or MISSING for status in joined["status"]]
        return joined

    @functools.cached_property
    def adopted(self) -> bool:
        """Whether the runs were trained elsewhere (study.adopt), which recorded less."""
        return bool((self.record.get("fingerprint") or {}).get("adopted"))

    @property
    def statuses(self) -> list[str]:
        """Statuses to count: of adopted runs those that occur, as nobody looked for the others."""
        there = set(self.grid["status"])
        every = (*STATUSES, MISSING)
        return [name for name in every if name in there or not self.adopted]

    @property
    def replicates(self) -> bool:
        """Whether seeds are numbers of rows: the adopted table had no column of them."""
        return self.adopted and (self.declaration.get("adopted") or {}).get("seed") is None

    def recorded(self, column: str) -> bool:
        """Whether any stored point has a value; whether points diverged, only if one did."""
        if column == "diverged":
            return not self.adopted or bool(self.grid["status"].eq("diverged").any())
        return column in self.stored and bool(self.stored[column].notna().any())

    @property
    def matrix_factors(self) -> tuple[str, str]:
        """Factors of rows and columns: the first two that vary, else constant settings."""
        keys = [*self.factors, *(key for key in FIRST if key not in self.factors)]
        return keys[0], keys[1]

    @property
    def matrix_corner(self) -> str:
        """Names of rows and columns; of rows alone where nothing is known of the columns."""
        row, column = self.matrix_factors
        return row if self.levels(column) == [UNKNOWN] else f"{row} \\ {column}"

    def column_head(self, name: str) -> str:
        """The head of a matrix's column."""
        return "all" if name == UNKNOWN else level(self.matrix_factors[1], name)

    @property
    def panel_factors(self) -> tuple[str, str]:
        """As `matrix_factors`, but never the task: tasks differ in updates, lags and scores."""
        keys = [key for key in dict.fromkeys([*self.factors, *FIRST]) if key != "task"]
        return keys[0], keys[1]

    @property
    def by_task(self) -> list[str | None]:
        """Tasks that each need their own figure; [None] if there is one task."""
        return list(self.levels("task")) if "task" in self.factors else [None]

    @functools.cached_property
    def problems(self) -> list[Problem]:
        """What is to be solved, one by one: tasks, and tasks of other settings, such as lengths.

        Scores of different problems are not compared. A study of one has one without a name.
        """
        choices = {name for facts in self.tasks.values() for name in facts.get("choices", ())}
        keys = of_problem(self.factors, choices)
        there = set(self.arms[keys].itertuples(index=False, name=None)) if keys else {()}
        every = [one for one in self.combinations(keys) if tuple(one.values()) in there]
        return [Problem(one) for one in every]

    @property
    def same_problem(self) -> list[str]:
        """Factors that can be chosen within a problem."""
        return [key for key in self.factors if key not in self.problems[0].levels]

    @property
    def other_factors(self) -> list[str]:
        """Factors that are neither rows nor columns."""
        return [key for key in self.factors if key not in self.matrix_factors]

    def levels(self, key: str) -> list[str]:
        """Levels in declared order; a constant setting has one."""
        return self.factors.get(key) or [self.constant.get(key, UNKNOWN)]

    def combinations(self, keys: Sequence[str]) -> list[dict[str, str]]:
        """All combinations of levels of these factors, in declared order; one empty one for no
        factor.
        """
        return [
            dict(zip(keys, row, strict=True)) for row in itertools.product(*map(self.levels, keys))
        ]

    @functools.cached_property
    def declared_arms(self) -> list[tuple[str, ...]]:
        """All combinations of levels in declared order, excluded ones too."""
        return list(itertools.product(*self.factors.values()))

    @functools.cached_property
    def arms(self) -> pd.DataFrame:
        """One row per arm of the grid: arm, label, and its levels."""
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
        """Points of the grid that were trained: done, diverged or pruned."""
        return self.grid[~self.grid["status"].isin([MISSING, "failed"])]

    @functools.cached_property
    def sampled(self) -> pd.DataFrame:
        """Stored points whose tables are read: all, or the first seeds of every arm up to MOST."""
        stored = self.stored
        if len(stored) <= MOST:
            return stored
        rank = stored.groupby("arm").cumcount()
        whole = int((rank.value_counts().sort_index().cumsum() <= MOST).sum())  # seeds per arm
        return stored[rank < whole] if whole else stored[rank == 0].head(MOST)

    def for_listing(self, points: pd.DataFrame) -> pd.DataFrame:
        """Points to list one by one: all, or those that are sampled if there are more than MOST."""
        if len(points) <= MOST:
            return points
        some = points[points["id"].isin(self.sampled["id"])]
        return some if len(some) else points.head(MOST)

    @property
    def sampling_note(self) -> str:
        """Which figures show a sample of the points; "" if all show every point."""
        if len(self.sampled) == len(self.stored):
            return ""
        arms, some = self.arms["arm"].nunique(), self.sampled["arm"].nunique()
        which = (
            f"the first {len(self.sampled) / some:.0f} seeds of each recipe"
            if some == arms
            else f"one network of each of the first {some:,} of {arms:,} recipes"
        )
        of_all = (
            "Scores, verdicts, outcomes, costs and every test on them are of all"
            f" {len(self.stored):,} networks."
        )
        return (
            f"{of_all} Curves, profiles, states by stage, results by example and how the remaining"
            " gradient"
            f" goes with success are of {len(self.sampled):,} networks: {which}. Of more than"
            f" {MOST:,} networks, no list and no figure of marks shows more than that."
        )

    @property
    def task(self) -> Mapping[str, Any]:
        """Facts of the task; {} if the study has several."""
        return next(iter(self.tasks.values())) if len(self.tasks) == 1 else {}

    @property
    def metric(self) -> str:
        """The metric inside a sentence, which says mean and test itself: squared error."""
        if self.as_skill:
            return "skill"
        name = str(next(iter(self.tasks.values()), {}).get("metric", "score"))
        return name.partition(",")[0].removeprefix("mean ")

    @property
    def by_example(self) -> bool:
        """Whether all scores are means over examples, none a number of a whole split."""
        firsts = [facts["metrics"][0] for facts in self.tasks.values() if facts.get("metrics")]
        return all(one["by_example"] for one in firsts)

    def without_rule(self) -> list[str]:
        """Tasks that have no rule for solved, by name."""
        return [name for name, facts in self.tasks.items() if facts.get("solved", 0.0) is None]

    @property
    def no_rule(self) -> str:
        """Why a task without a rule for solved has none."""
        return NO_RULE_GIVEN if self.adopted else NO_RULE

    def has_rule(self, points: pd.DataFrame) -> pd.Series:
        """Whether each point's task has a rule for solved. `points`: column task."""
        if len(self.without_rule()) == len(self.tasks) > 0:
            return pd.Series(False, index=points.index)
        return ~points["task"].astype(str).isin(self.without_rule())

    @property
    def higher_is_better(self) -> bool:
        return self.as_skill or all(
            bool(facts.get("higher_is_better", True)) for facts in self.tasks.values()
        )

    @functools.cached_property
    def score_range(self) -> tuple[float, float]:
        """Smallest and largest score that is possible.

        Shares lie between 0 and 1, errors are at least 0, and what is better when higher is
        perfect at 1. A metric of your own whose scores lie beyond is not bounded there.
        """
        share = not self.as_skill and is_share(self.metric)
        low = 0.0 if share or not self.higher_is_better else -math.inf
        high = 1.0 if self.higher_is_better else math.inf
        if not self.as_skill and self.task.get("metrics"):
            low, high = range_of(self.task["metrics"][0])
        columns = [name for name in SCORES if name in self.stored]
        seen = self.stored[columns].to_numpy(dtype=float)
        seen = seen[np.isfinite(seen)]
        return (-math.inf if (seen < low).any() else low, math.inf if (seen > high).any() else high)

    def why_excluded(self, labels: Mapping[str, str]) -> str | None:
        """Why a combination of levels is not in the grid; None if it was not excluded."""
        for one in self.declaration.get("excluded", []):
            excluded = _texts(one["labels"])
            if all(
                labels.get(key, self.constant.get(key)) == text for key, text in excluded.items()
            ):
                return str(one.get("why", "no reason given"))
        return None

    def cached(self, name: str, make: Callable[[], Any]) -> Any:
        """A value that several sections need, made on the first call."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def kept_by(self, make: Callable[[Study], Any]) -> dict[str, Any]:
        """What `make` keeps by `cached` beyond what is there, for `keep` in another process."""
        before = set(self._kept)
        make(self)
        return {name: value for name, value in self._kept.items() if name not in before}

    def keep(self, values: Mapping[str, Any]) -> None:
        """Keep values as `cached` does."""
        self._kept = {**values, **self._kept}

    def table(self, name: str) -> pd.DataFrame:
        """A table of records.TABLES over the sampled points, with arm, seed and factors in each
        row.
        """
        if name not in self._tables:
            rows = self.store.table(name, self.sampled["id"])
            if name == "layers":
                sampled = set(self.sampled["id"])
                again = {id: of for id, of in self.judged_again.items() if id in sampled}
                rows = with_layers(rows, again)
            rows = self.with_factors(rows)
            if self.as_skill and name in TABLE_SCORES and len(rows):
                rows = self._skill(
                    rows,
                    TABLE_SCORES[name],
                    (),
                    rows["id"].map(self.stored.set_index("id")["task"]),
                )
            self._tables[name] = rows
        return self._tables[name]

    def with_factors(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of a table with the arm, seed and factors of their point."""
        # One text per point and not per row: 100 MB less for a million rows.
        rows["id"] = rows["id"].astype("category").astype(object)
        for column in ("probe", "layer", "state"):
            if column in rows:  # comparisons take a tenth of the time
                rows[column] = rows[column].astype("category")
        keys = ["id", "arm", "seed", *dict.fromkeys([*self.factors, *self.matrix_factors])]
        return rows.merge(self.grid[keys], on="id", how="left")


def perfect(facts: Mapping[str, Any]) -> float:
    """The perfect score of a task."""
    if facts.get("metrics"):
        return float(facts["metrics"][0]["perfect"])
    return 1.0 if facts.get("higher_is_better", True) else 0.0


def range_of(metric: Mapping[str, Any]) -> tuple[float, float]:
    """Smallest and largest value of one of a task's metrics."""
    low, high = metric["low"], metric["high"]
    return -math.inf if low is None else low, math.inf if high is None else high


def cores() -> int:
    """Number of processes that may share the work, as forks of this one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _texts(labels: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(label) for key, label in labels.items() if key != "seed"}


def _plain(points: pd.DataFrame) -> pd.DataFrame:
    """Numbers as floats with NaN, text and booleans as objects with None: no pandas NA."""
    kinds = {column.name: column.kind for column in POINTS}
    plain = {}
    for name in points.columns:
        if kinds.get(name) in ("int", "float"):
            plain[name] = points[name].astype("float64")
        else:
            values = points[name].astype(object)
            plain[name] = values.where(values.notna(), None)
    return pd.DataFrame(plain, columns=points.columns)
