"""Failures: diverged, failed, pruned and missing points, with reasons."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from reports.analysis.arms import WORST, worst_words
from reports.analysis.spikes import spikes
from reports.blocks import Cell, Fold, Listing, Prose, Section, Table
from reports.data.study import MISSING, Study
from reports.formatting import STATUS_SYMBOLS, count
from study.store.privacy import private

NO = "none"


class Failures:
    """`head`: number of lines of a traceback to show."""

    title = "Failures"
    needs = ()

    def __init__(self, *, head: int) -> None:
        if head < 1:
            raise ValueError(f"Failures: head must be at least 1, got {head}")
        self.head = head

    def render(self, study: Study) -> Section:
        label = dict(zip(study.arms["arm"], study.arms["label"], strict=True))
        wrong = study.grid[study.grid["status"] != "done"]
        silent = study.grid[study.grid["outcome"] == "silently diverged"]
        if wrong.empty and study.adopted:
            said = "; whether any diverged was not recorded"
            return Section(
                [Prose(f"None: each of the {len(study.grid)} networks has a score{said}.")]
            )
        if wrong.empty and silent.empty:
            return Section(
                [
                    Prose(
                        f"None: {'all ' if len(study.grid) > 1 else 'the '}"
                        f"{count(len(study.grid), 'declared network')} finished, and none diverged"
                        " silently."
                    )
                ]
            )
        counts = wrong["status"].value_counts()
        sentence = (
            ", ".join(f"{counts[name]} {name}" for name in STATUS_SYMBOLS if name in counts)
            or "No network failed"
        )
        quietly = "" if study.adopted else f"; {len(silent)} diverged silently"
        counting = (
            "Divergence is a result and counts in every statistic; a missing network is missing,"
            " and counts in none"
            if worst_words(study) == WORST
            else "A network without a score counts in no mean"
        )
        blocks: list[object] = [Prose(f"{sentence}{quietly}. {counting}.")]
        spiked = spikes(study, [*wrong["id"], *silent["id"]])
        none = NO if len(study.table("history")) or not study.adopted else "not recorded"
        rows = [
            _row(point, label, spiked, none) for _, point in study.for_listing(wrong).iterrows()
        ]
        if rows:
            blocks.append(
                Table(
                    ["recipe", "seed", "status", "reason", "at update", "first gradient spike"],
                    rows,
                    "Networks that were not trained in full",
                    filtered=True,
                )
            )
        if len(silent):
            silent_rows = [
                [label[point["arm"]], str(point["seed"]), spiked.get(point["id"], NO), point["id"]]
                for _, point in study.for_listing(silent).iterrows()
            ]
            blocks.append(
                Table(
                    ["recipe", "seed", "first gradient spike", "id"],
                    silent_rows,
                    "Silently diverged: the loss is back at the baseline or above it, the"
                    " recurrence blew up or saturated, and nothing is NaN",
                )
            )
        return Section([*blocks, *self._tracebacks(study, wrong, label)])

    def _tracebacks(self, study: Study, wrong, label: dict[int, str]) -> list[object]:
        """One fold per different traceback: one mistake in the code fails many points."""
        points_by_traceback: dict[str, list[str]] = {}
        for _, point in study.for_listing(wrong[wrong["status"] == "failed"]).iterrows():
            failure = study.store.result(point["id"]).get("failure") or {}
            if failure.get("traceback"):
                points_by_traceback.setdefault(private(str(failure["traceback"])), []).append(
                    f"{label[point['arm']]} seed {point['seed']}"
                )
        return [
            Fold(
                f"Traceback of {count(len(points), 'network')}: {points[0]}",
                [Listing(_head(text, self.head))],
            )
            for text, points in points_by_traceback.items()
        ]


def _row(
    point: pd.Series, label: Mapping[int, str], spiked: Mapping[str, str], none: str
) -> list[Cell | str]:
    """A point without a full run, and why."""
    reason = point["reason"] or (
        "nothing stored yet" if point["status"] == MISSING else "no reason stored"
    )
    at = point["diverged_at"]
    return [
        label[point["arm"]],
        str(point["seed"]),
        f"{STATUS_SYMBOLS[point['status']]} {point['status']}",
        Cell(private(str(reason)), None, "wrap"),
        f"{at:,.0f}" if at == at else "–",
        spiked.get(point["id"], none),
    ]


def _head(text: str, lines: int) -> str:
    """The first lines, and the last one, which names the error."""
    every = text.strip().splitlines()
    return "\n".join(every if len(every) <= lines + 1 else [*every[:lines], "…", every[-1]])
