"""Cost: training time, parameters, and updates saved by points that ended early."""

from __future__ import annotations

import pandas as pd

from reports.analysis.arms import with_counted
from reports.analysis.costs import with_cost, work_factors
from reports.blocks import Cell, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.formatting import count, duration, known, levels, number, percent
from reports.statistics.survival import planned_updates, trained_updates
from study.records import ENDED


class Cost:
    """Training time by what the networks compute, and the size of the models."""

    title = "Cost"
    needs = ("seconds",)

    def render(self, study: Study) -> Section:
        points = with_cost(study, with_counted(study))
        seconds = points["seconds"].dropna()
        if study.adopted:
            text = (
                f"{duration(float(seconds.sum()))} of training over"
                f" {count(len(seconds), 'network')}"
                f" (median {number(float(seconds.median()), 1)} s), as they were recorded: on which"
                " machine, and what else it did, is not known."
            )
            return Section([Prose(text), _as_recorded(study, points)])
        wall = sum(float(launch.get("seconds") or 0) for launch in study.launches)
        sentence = (
            f"{duration(float(seconds.sum()))} of training over {count(len(seconds), 'network')}"
            f" (median {number(float(seconds.median()), 1)} s per network), {duration(wall)} on the"
            " clock. A network's seconds are an equal share of its group's time, and depend on what"
            " else the machine did and on whether kernels had to be compiled. Networks that differ"
            " in initial weights, clip rule or optimizer alone do the same arithmetic and are"
            " counted together here: they differ by the updates made."
        )
        sentence += saved(points)
        return Section([Prose(sentence), _table(study, points)])


def _as_recorded(study: Study, points: pd.DataFrame) -> Table:
    """Seconds of adopted runs by arm."""
    rows: Rows = []
    for arm, own in points.groupby("arm"):
        seconds, size = float(own["seconds"].mean()), float(own["params"].mean())
        label = study.arms.set_index("arm").loc[arm, "label"]
        values = Cell(f"{size:,.0f}", size) if known(size) else "not recorded"
        rows.append([label, Cell(number(seconds, 1), seconds), values, str(len(own))])
    columns = ["recipe", "seconds per network (mean)", "trained values", "networks"]
    return Table(columns, rows, "Seconds by recipe", filtered=True)


def _table(study: Study, points: pd.DataFrame) -> Table:
    """One row per kind of network that does the same arithmetic: nothing is averaged over kinds."""
    keys = work_factors(study)
    rows: Rows = []
    for labels in study.combinations(keys):
        own = points[points["cost"].notna()]
        for key, name in labels.items():
            own = own[own[key] == name]
        if own.empty:
            continue
        updates = trained_updates(own)
        size = own["params"].dropna()
        values = f"{size.min():,.0f}" if len(size) else "n/a"
        values += f"…{size.max():,.0f}" if size.nunique() > 1 else ""
        rate = 1000 * float(own["cost"].sum()) / float(updates.sum())
        rows.append(
            [
                levels(labels) if labels else "every network",
                Cell(number(rate, 2), rate),
                Cell(f"{updates.mean():,.0f}", float(updates.mean())),
                Cell(number(float(own["cost"].mean()), 1), float(own["cost"].mean())),
                values,
                str(len(own)),
            ]
        )
    columns = [
        "network",
        "seconds per 1,000 updates",
        "updates made (mean)",
        "seconds per network (mean)",
        "trained values",
        "networks",
    ]
    return Table(columns, rows, "Cost of networks that do the same arithmetic")


def saved(points: pd.DataFrame) -> str:
    """How many points ended early, why, and how many updates this saved; "" if none did."""
    early = points[points["ended_early"].notna()]
    if early.empty:
        return ""
    why = early["ended_early"].value_counts()
    reasons = ", ".join(f"{why[name]} {name}" for name in ENDED if name in why)
    less, asked = float(early["updates_saved"].sum()), float(planned_updates(points).sum())
    sentence = (
        f" {count(len(early), 'network')} of {len(points)} ended early ({reasons}): {less:,.0f} of"
        f" {asked:,.0f} updates were saved ({percent(less / asked)})."
    )
    if "solved" in why:
        sentence += (
            " A solved one ends after as many validations in a row that meet the task's rule as"
            " stop.solved_checks says; its state at the end and verdict are of these validations,"
            " and probes that were due later are not there."
        )
    return sentence
