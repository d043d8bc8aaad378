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

    The contract is on one page, reports/interfaces.py: what a section must have, what it gets and
    what it returns. The same store must give the same bytes.
    """

    title = "Score against size"
    needs = ("score", "params")

    def __init__(self, *, marked: float) -> None:
        if marked <= 0:
            raise ValueError(f"skeleton: marked must be above 0, got {marked}")
        self.marked = marked  # size of a dot, in points of 1/72 inch

    def render(self, study: Study) -> Section:
        # Diverged points count as the worst score and are not dropped.
        points, key = with_counted(study), study.matrix_factors[0]
        order = [not study.higher_is_better, True]
        best = points.sort_values(["counted", "params"], ascending=order).iloc[0]
        finding = (
            f"The best of {count(len(points), 'network')} ({level(key, best[key])}) scores"
            f" {number(best['counted'])} with {best['params']:,.0f} values."
        )
        rows: Rows = []
        for _, point in points.iterrows():
            size, score = float(point["params"]), float(point["counted"])
            rows.append(
                [level(key, point[key]), Cell(f"{size:,.0f}", size), Cell(number(score), score)]
            )
        caption = "Score against size, one row per network"
        table = Table([key, "trained values", study.metric], rows, caption, filtered=True)
        picture = draw(lambda rasterized: self._picture(study, points, key), name="skeleton")
        legend, alt = (
            "One dot per network, coloured by the first factor.",
            f"Score against size. {finding}",
        )
        return Section([Figure(picture, legend, alt, table, 10.0, finding, HOW)])

    def _picture(self, study: Study, points: pd.DataFrame, key: str) -> Drawing:
        names = study.levels(key)
        ink, shape = colours(names), markers(names)
        figure, axes = panels(
            1, 1, width=10.0, height=3.2, left=0.8, right=1.6, top=0.3, bottom=0.55, gap=(0, 0)
        )
        style = {"markersize": self.marked, "markeredgewidth": 0, "alpha": 0.8}
        for name in names:
            own = points[points[key] == name]
            axes[0, 0].plot(own["params"], own["counted"], shape[name], color=ink[name], **style)
        axes[0, 0].set(xlabel="trained values", ylabel=study.metric)
        legend = [(level(key, name), ink[name], shape[name]) for name in names]
        named_marks(figure, legend, 10.0 - 1.6)
        return figure
