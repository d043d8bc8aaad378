"""A section of your own for the report: a statistic, a figure, a sentence."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports.blocks import Cell, Figure, Rows, Table
from reports.figures.theme import colours, draw, markers, named_marks, panels
from reports.interfaces import Section, Study, count, level, number, with_counted

HOW = (
    "Every dot is one trained network ([point]). Further right has more trained values; compare"
    " dots above one another: they cost the same."
)


class Skeleton:
    """Score against the number of trained values, one dot per network.

    reports/interfaces.py says what a section must have, what it gets and what it returns.
    """

    title = "Score against size"
    needs = ("score", "params")

    def __init__(self, *, marked: float) -> None:
        if marked <= 0:
            raise ValueError(f"skeleton: marked must be above 0, got {marked}")
        self.marked = marked  # size of a dot, in points of 1/72 inch

    def render(self, study: Study) -> Section:
        points, key = with_counted(study), study.matrix_factors[0]
        best = points.sort_values(
            ["counted", "params"], ascending=[not study.higher_is_better, True]
        ).iloc[0]
        finding = (
            f"The best of {count(len(points), 'network')} ({level(key, best[key])}) scores"
            f" {number(best['counted'])} with {best['params']:,.0f} values."
        )
        rows: Rows = [
            [
                level(key, point[key]),
                Cell(f"{point['params']:,.0f}", float(point["params"])),
                Cell(number(point["counted"]), float(point["counted"])),
            ]
            for _, point in points.iterrows()
        ]
        table = Table(
            [key, "trained values", study.metric],
            rows,
            "Score against size, one row per network",
            filtered=True,
        )
        figure = Figure(
            draw(lambda rasterized: self._picture(study, points, key), name="skeleton"),
            "One dot per network, coloured by the first factor.",
            f"Score against size. {finding}",
            table,
            10.0,
            finding,
            HOW,
        )
        return Section([figure])

    def _picture(self, study: Study, points: pd.DataFrame, key: str) -> Drawing:
        names = study.levels(key)
        ink, shape = colours(names), markers(names)
        figure, axes = panels(
            1, 1, width=10.0, height=3.2, left=0.8, right=1.6, top=0.3, bottom=0.55, gap=(0, 0)
        )
        axis = axes[0, 0]
        for name in names:
            own = points[points[key] == name]
            axis.plot(
                own["params"],
                own["counted"],
                shape[name],
                color=ink[name],
                markersize=self.marked,
                markeredgewidth=0,
                alpha=0.8,
            )
        axis.set(xlabel="trained values", ylabel=study.metric)
        named_marks(
            figure, [(level(key, name), ink[name], shape[name]) for name in names], 10.0 - 1.6
        )
        return figure
