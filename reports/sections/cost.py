"""Cost: training time, parameters, and updates saved by points that ended early."""

from __future__ import annotations

import pandas as pd

from reports.analysis.arms import with_counted
from reports.blocks import Cell, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.formatting import count, duration, known, level, number, percent
from reports.statistics import marginal_means
from reports.statistics.survival import planned_updates
from study.records import ENDED


class Cost:
    """Training time by factor level, and the size of the models."""

    title = "Cost"
    needs = ("seconds",)

    def render(self, study: Study) -> Section:
        points = with_counted(study)
        seconds = points["seconds"].dropna()
        wall = sum(float(launch.get("seconds") or 0) for launch in study.launches)
        sentence = (
            f"{duration(float(seconds.sum()))} of training over {len(seconds)} points (median"
            f" {number(float(seconds.median()), 1)} s per point), {duration(wall)} on the clock. A"
            " point's seconds are an equal share of its group's time: they distinguish cells,"
            " depths and tasks, not what was trained together, and have no interval over"
            " seeds. They depend on what else the machine did."
        )
        sentence += saved(points)
        rows: Rows = []
        for key in study.factors or {study.matrix_factors[0]: []}:
            means = marginal_means(points, "seconds", key, study.levels(key))
            for name, one in means.items():
                own = points[points[key] == name]
                if known(one.value):
                    size = own["params"].dropna()
                    values = (
                        f"{size.min():,.0f}" + (f"…{size.max():,.0f}" if size.nunique() > 1 else "")
                        if len(size)
                        else "n/a"
                    )
                    rows.append(
                        [
                            level(key, name),
                            Cell(number(one.value, 1), one.value),
                            values,
                            str(one.n),
                        ]
                    )
        table = Table(
            ["level", "seconds per point", "trained values", "points"],
            rows,
            "Averaged over all other factors",
        )
        return Section([Prose(sentence), table])


def saved(points: pd.DataFrame) -> str:
    """How many points ended early, why, and how many updates this saved; "" if none did."""
    early = points[points["ended_early"].notna()]
    if early.empty:
        return ""
    why = early["ended_early"].value_counts()
    reasons = ", ".join(f"{why[name]} {name}" for name in ENDED if name in why)
    less, asked = float(early["updates_saved"].sum()), float(planned_updates(points).sum())
    sentence = (
        f" {count(len(early), 'point')} of {len(points)} ended early ({reasons}): {less:,.0f} of"
        f" {asked:,.0f} updates were saved ({percent(less / asked)})."
    )
    if "solved" in why:
        sentence += (
            " A solved one ends after as many validations in a row that meet the task's rule as"
            " stop.solved_checks says; its state at the end and verdict are of these validations,"
            " and probes that were due later are not there."
        )
    return sentence
