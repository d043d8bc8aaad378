"""Cost: seconds and parameters."""

from __future__ import annotations

from reports.arms import with_counted
from reports.blocks import Cell, Prose, Rows, Section, Table
from reports.data import Study
from reports.statistics import marginal_means
from reports.words import duration, interval, known, level, number


class Cost:
    """Training time by factor level, and the size of the models."""

    title = "Cost"
    needs = ("seconds",)

    def render(self, study: Study) -> Section:
        points = with_counted(study)
        seconds = points["seconds"].dropna()
        wall = sum(float(launch.get("seconds") or 0) for launch in study.launches)
        said = (
            f"{duration(float(seconds.sum()))} of training over {len(seconds)} points (median {number(float(seconds.median()), 1)} s a "
            f"point), {duration(wall)} on the clock. "
            "A point's seconds are its share of its group's time, so they compare groups better than single points."
        )
        rows: Rows = []
        for key in study.factors or {study.sides[0]: []}:
            means = marginal_means(points, "seconds", key, study.levels(key))
            for name, one in means.items():
                own = points[points[key] == name]
                if known(one.value):
                    size = own["params"].dropna()
                    values = f"{size.min():,.0f}" + (f"…{size.max():,.0f}" if size.nunique() > 1 else "") if len(size) else "n/a"
                    rows.append([level(key, name), Cell(f"{number(one.value, 1)} {interval(one.low, one.high, 1)}", one.value), values, str(one.n)])
        table = Table(
            ["level", "seconds a point", "trained values", "points"],
            rows,
            "Averaged over all other factors; 95 % interval from the spread over seeds within arms",
        )
        return Section([Prose(said), table])
