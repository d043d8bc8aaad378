"""A section of your own for the report: a statistic, a figure, a sentence."""

from __future__ import annotations

from matplotlib.figure import Figure as Drawing

from reports.analysis.arms import with_counted
from reports.blocks import Cell, Figure, Rows, Section, Table
from reports.data.study import Study
from reports.figures.theme import colours, draw, markers, named_marks, panels
from reports.formatting import count, level, number

HOW = (
    "Every dot is one trained network ([point]). Further right has more trained values; compare"
    " dots above one another: they cost the same."
)


class Skeleton:
    """Score against the number of trained values, every network a dot.

    The contract: `title`; `needs`, what the store must hold (a column of the points, or
    table.column; names in study/records.py), or the section says that there is nothing yet;
    `render(study)` returns a Section of blocks (reports/blocks.py). `study`
    (reports.data.study.Study) has `stored`, a row a trained point with its factors, `table(name)`,
    `levels(key)` and `sides`, the factors of rows and columns. The same store must give the same
    bytes. No torch here: whoever reads a report has none.
    """

    title = "Score against size"
    needs = ("score", "params")

    def __init__(self, *, marked: float) -> None:
        if marked <= 0:
            raise ValueError(f"skeleton: marked must be above 0, got {marked}")
        self.marked = marked  # points: size of a dot

    def render(self, study: Study) -> Section:
        # Diverged points count as the worst score and are not dropped.
        points, key = with_counted(study), study.sides[0]
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
        alt = "Score against size, one row a network"
        table = Table([key, "trained values", study.metric], rows, alt, filtered=True)
        picture = draw(lambda rasterized: self._picture(study, points, key), name="skeleton")
        caption = "One dot a network, by the first factor."
        alt = f"Score against size. {finding}"
        return Section([Figure(picture, caption, alt, table, 10.0, finding, HOW)])

    def _picture(self, study: Study, points, key: str) -> Drawing:
        names, edges = study.levels(key), {"left": 0.8, "right": 1.6, "top": 0.3, "bottom": 0.55}
        ink, shape = colours(names), markers(names)
        figure, axes = panels(1, 1, width=10.0, height=3.2, gap=(0, 0), **edges)
        axis, style = axes[0, 0], {"markersize": self.marked, "markeredgewidth": 0, "alpha": 0.8}
        for name in names:
            own = points[points[key] == name]
            axis.plot(own["params"], own["counted"], shape[name], color=ink[name], **style)
        axis.set(xlabel="trained values", ylabel=study.metric)
        marks = [(level(key, name), ink[name], shape[name]) for name in names]
        named_marks(figure, marks, 10.0 - edges["right"])
        return figure
