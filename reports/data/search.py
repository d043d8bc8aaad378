"""The search of a study: the tables it wrote, and its arms in words."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reports.blocks import Section
from reports.data.study import Study
from reports.formatting import keys_of, levels, rekeyed, short_names
from study.store.search import SearchStore, beside

COUNTED = ("done", "diverged")  # trials that were trained to the end


@dataclass(frozen=True)
class Search:
    """search.json as `summary`, and the tables of records.SEARCH_TABLES.

    `labels`: arm -> its levels in words, in declared order.
    """

    summary: Mapping[str, Any]
    trials: pd.DataFrame
    settings: pd.DataFrame
    curves: pd.DataFrame
    importance: pd.DataFrame
    labels: Mapping[str, str]

    @property
    def arms(self) -> Sequence[Mapping[str, Any]]:
        return list(self.summary["arms"])

    @property
    def keys(self) -> list[str]:
        """Searched keys, in declared order."""
        return list(self.summary["space"])

    @property
    def sign(self) -> int:
        return 1 if self.summary["higher_is_better"] else -1

    @property
    def complete(self) -> pd.DataFrame:
        """Trials that were trained to the end and have a score."""
        return self.trials[self.trials["status"].isin(COUNTED) & self.trials["score"].notna()]

    def best_so_far(self, arm: str) -> pd.DataFrame:
        """Complete trials of one arm in order: trial, score, best (so far)."""
        own = self.complete[self.complete["arm"] == arm].sort_values("trial")
        return own.assign(best=(self.sign * own["score"]).cummax() * self.sign)

    def numbers(self, key: str) -> pd.DataFrame:
        """Complete trials with one key: arm, trial, score, number, value.

        `number` is an index if the values are words.
        """
        own = self.settings[self.settings["key"] == key].merge(
            self.complete[["arm", "trial", "score", "best", "default"]], on=["arm", "trial"]
        )
        if own["number"].isna().any():
            names = sorted(own["value"].unique())
            own["number"] = [float(names.index(value)) for value in own["value"]]
        return own


class SearchSection(ABC):
    """Base of sections about a search: empty if there is no search, or `blocks` returns none."""

    title: str
    needs = ()

    def render(self, study: Study) -> Section:
        search = find(study)
        return Section([]) if search is None else Section(self.blocks(search))

    @abstractmethod
    def blocks(self, search: Search) -> list[Any]:
        """The section's blocks."""


def find(study: Study) -> Search | None:
    """The search in the study's folder, or the one its arms came from; None if there is none."""
    pointed = study.declaration.get("search")
    found: Search | None = study.cached(f"search {pointed}", lambda: _find(study, pointed))
    return found


def _find(study: Study, pointed: object) -> Search | None:
    folders = [study.store.folder / "search"]
    if beside(pointed):
        folders.append(study.store.folder / Path(str(pointed)))
    for store in map(SearchStore, folders):
        summary = store.summary()
        if summary is not None:
            keys = keys_of(key for arm in summary["arms"][:1] for key in arm["levels"])
            summary = {**summary, "arms": rekeyed(summary["arms"], keys)}
            labels = {
                arm["arm"]: levels(arm["levels"]) if arm["levels"] else "all recipes"
                for arm in summary["arms"]
            }
            tables = {
                name: store.table(name) for name in ("trials", "settings", "curves", "importance")
            }
            return Search(
                summary,
                tables["trials"],
                tables["settings"],
                tables["curves"],
                tables["importance"],
                labels,
            )
    return None


def shown(value: object) -> str:
    """A setting's value; three digits if it is not a whole number."""
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def objective_name(objective: str) -> str:
    """An objective as the page calls it."""
    return "gradient health" if objective == "health" else objective


def setting(values: Mapping[str, Any]) -> str:
    names = short_names(values)
    return ", ".join(f"{names[key]} {shown(value)}" for key, value in values.items())


def numeric(text: str) -> bool:
    """Whether a value's text is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
