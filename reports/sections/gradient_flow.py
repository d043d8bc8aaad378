"""Gradient flow: how much of the loss's gradient is left at each lag."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.analysis.marks import level_mark
from reports.blocks import Cell, Figure, Heading, Prose, Rows, Section, Table
from reports.data.profiles import deciding, losses
from reports.data.study import Study
from reports.figures.gradient_flow import gradient_flow
from reports.figures.marks import Mark
from reports.figures.theme import PanelGrid, draw
from reports.formatting import known, level, levels, listing, number, slug

HOW = (
    "Read a line from right to left: at the right edge is the step of the loss, and every step to"
    " the left is one step further back ([loss profile]). A flat line remembers; a line that falls"
    " by one factor of ten over ten steps leaves a tenth. The first [probe] is yellow, the last one"
    " blue: where blue lies above yellow, training opened the way. The shaded classes are those of"
    " the [verdict], which is made from the [remaining gradient] and not from this line; the two"
    " may differ, because a readout may ask little of early steps that could still be reached."
)


NAMED = 4  # panels up to which the finding gives each one's numbers
LEAST = -5.0  # lowest decade shown at least: all classes are seen
FALLBACK = {"exploding": 1.0, "fading": -2.0, "vanishing": -4.0}


@dataclass(frozen=True)
class Far:
    """Decades at the longest lag: median over networks, the lowest (−∞: exactly 0) and the highest
    of them, and the reason if there is no number.
    """

    value: float
    lowest: float
    highest: float
    why: str


class GradientFlow:
    """`floor`, `ceiling`: limits of the axis in decades; `counted`: share of zero or non-finite
    examples above which a lag is marked.
    """

    title = "Gradient flow"
    needs = ("profile.log10_mean",)

    def __init__(self, *, floor: float, ceiling: float, counted: float) -> None:
        if not floor < 0 < ceiling:
            raise ValueError(
                f"GradientFlow: floor must lie below 0 and ceiling above it, got floor={floor},"
                f" ceiling={ceiling}"
            )
        self.floor, self.ceiling, self.counted = floor, ceiling, counted

    def render(self, study: Study) -> Section:
        row_key, column_key = study.panel_factors
        splits = [
            key
            for key in ("task", "depth")
            if key in study.factors and key not in (row_key, column_key)
        ]
        early = study.stored.loc[study.stored["ended_early"].eq("solved"), "id"]
        rows = losses(study.table("profile"), [row_key, column_key, *splits], set(early))
        if rows.empty:
            return Section(
                [
                    Prose(
                        "The loss probe was not switched on in this study: there is no gradient of"
                        " the loss to show."
                    )
                ]
            )
        decides = deciding(study.table("profile"), [row_key, column_key, *splits])
        span = self._span(pd.concat([rows["log10_mean"], decides["value"]]))
        blocks: list[object] = [
            Prose(
                "How much of the loss's gradient is left k steps back from it? The line falls where"
                " it is lost, and a flat line remembers."
            )
        ]
        for part in study.combinations(splits):
            own = (
                rows[np.all([rows[key] == name for key, name in part.items()], axis=0)]
                if part
                else rows
            )
            if own.empty:
                continue
            if part:
                sentence = levels(part)
                blocks.append(Heading(sentence[0].upper() + sentence[1:]))
            line = (
                decides[np.all([decides[key] == name for key, name in part.items()], axis=0)]
                if part
                else decides
            )
            blocks.append(self._figure(study, own, line, (row_key, column_key), span, part))
        figures = sum(isinstance(block, Figure) for block in blocks)
        return Section(blocks, finding=_overall(rows, (row_key, column_key)) if figures > 1 else "")

    def _span(self, medians: pd.Series) -> tuple[float, float]:
        """One range for all figures, in whole decades: the medians with a margin, within floor and
        ceiling.
        """
        values = medians.to_numpy(dtype=float)
        values = values[np.isfinite(values)]
        low, high = (float(values.min()), float(values.max())) if len(values) else (-6.0, 0.0)
        low, high = max(min(low - 0.3, LEAST), self.floor), min(max(high + 0.3, 2.0), self.ceiling)
        return math.floor(low), math.ceil(high)

    def _figure(
        self,
        study: Study,
        rows: pd.DataFrame,
        decides: pd.DataFrame,
        keys: tuple[str, str],
        span: tuple[float, float],
        part: dict[str, str],
    ) -> Figure:
        """The figure of one task and depth; tasks differ in updates, lags and lengths."""
        row_key, column_key = keys
        # The design section lists rows and columns without any measured point.
        sides = [[name for name in study.levels(key) if (rows[key] == name).any()] for key in keys]
        lag = (
            study.tasks[part["task"]].get("lag")
            if part.get("task") in study.tasks
            else study.task.get("lag")
        )
        limits = {key: float(study.health.get(key, fallback)) for key, fallback in FALLBACK.items()}
        grid = PanelGrid(row_key, sides[0], column_key, sides[1])
        width = max(10.0, 2.1 + 1.5 * len(sides[1]))

        def says(i: int, j: int, text: str) -> Mark:
            where = {row_key: sides[0][i], column_key: sides[1][j], **part}
            return level_mark(study, where, text)

        picture = draw(
            lambda _: gradient_flow(
                rows,
                decides,
                grid,
                limits=limits,
                lag=lag,
                span=span,
                counted=self.counted,
                width=width,
                says=says,
            ),
            name=f"flow-{'-'.join(slug(name) for name in part.values()) or 'all'}",
        )
        table, finding = self._ends(study, rows, row_key, column_key)
        caption = self._caption(study, rows, [*keys, *part], lag, span)
        where = f" at {levels(part)}" if part else ""
        return Figure(
            picture, caption, f"Gradient flow{where}. {finding}", table, width, finding, HOW
        )

    def _caption(
        self,
        study: Study,
        rows: pd.DataFrame,
        keys: list[str],
        lag: int | None,
        span: tuple[float, float],
    ) -> str:
        """`keys`: factors with panels or figures of their own; the median is over the others."""
        averaged = listing([*(key for key in study.factors if key not in keys), "seeds"])
        odd = bool(((rows["zero"] > self.counted) | (rows["bad"] > self.counted)).any())
        caption = (
            f"Median over {averaged} (up to {int(rows['points'].max())} networks per panel) of the"
            " geometric mean over the probe examples; one line per probe, from initialization to"
            " the end. Band: 10–90 % of the examples, at the first and the last probe. "
        )
        if int(rows["above"].max()):
            caption += "Lower layers are drawn at the first and the last probe. "
        caption += (
            "Black: the remaining gradient of the whole network, whose last steps decide the"
            " verdict,"
            " at the first probe (dotted) and at the last. Shading: the limits of the classes. "
        )
        if lag:
            past = " (past the first step: drawn at the edge)" if lag > rows["lag"].max() else ""
            caption += f"Dashed: the task's lag, {lag}{past}. "
        share = f"more than {100 * self.counted:.0f} % of the examples"
        caption += (
            f"Rows above and below the axis mark lags where {share} are exactly 0, or Inf or NaN. "
            if odd
            else f"At no lag are {share} zero or non-finite. "
        )
        if _leaves(rows, span):
            caption += (
                f"Lines that leave a panel go beyond {number(span[0], 0)} or"
                f" {number(span[1], 0, sign=True)} powers of ten."
            )
        return caption

    def _ends(
        self, study: Study, rows: pd.DataFrame, row_key: str, column_key: str
    ) -> tuple[Table, str]:
        """Table and sentence: gradient left at the longest lag, first and last probe, top layer."""
        measured = rows["log10_mean"].notna() | (rows["zero"] > 0.5) | (rows["bad"] > 0.5)
        rows = rows[measured] if measured.any() else rows  # short sequences have no long lags
        top = rows[rows["above"] == 0]
        stages = sorted(top["stage"].unique())
        table: Rows = []
        last: dict[tuple[str, str], list[Far]] = {}
        for one in study.levels(row_key):
            for other in study.levels(column_key):
                own = top[(top[row_key] == one) & (top[column_key] == other)]
                if own.empty:
                    continue
                cells = [_far(own[own["stage"] == stage]) for stage in (stages[0], stages[-1])]
                every = rows[(rows[row_key] == one) & (rows[column_key] == other)]
                if (reached := int(own["lag"].max())) < int(every["lag"].max()):
                    # a layer that reads the sequence from its end, before the losses of its end
                    nothing = Far(math.nan, math.nan, math.nan, f"to lag {reached} only")
                    cells = [nothing, nothing]
                last[one, other] = cells
                table.append(
                    [
                        level(row_key, one),
                        level(column_key, other),
                        *(_cell(cell) for cell in cells),
                        str(int(own["points"].max())),
                    ]
                )
        columns = [row_key, column_key, "first probe", "last probe", "networks"]
        shown = Table(
            columns,
            table,
            f"Gradient of the loss at lag {int(rows['lag'].max())} relative to the loss step, top"
            " layer, powers of ten; median [lowest, highest] over networks",
        )
        where = " in the top layer" if int(rows["above"].max()) else ""
        far = int(rows["lag"].max())
        return shown, self._sentence(study, (row_key, column_key), last, far, where)

    def _sentence(
        self,
        study: Study,
        keys: tuple[str, str],
        last: dict[tuple[str, str], list[Far]],
        lag: int,
        where: str,
    ) -> str:
        """Each panel if there are few, else medians over the columns with their range."""
        if not last:
            return "Nothing measured yet."
        sentence = f"Gradient left {lag} steps back{where}, powers of ten, first → last probe"
        if len(last) <= NAMED or len({row for row, _ in last}) == 1:
            panels = [
                f"{level(keys[0], row)} {level(keys[1], column)} {_middle([first])} →"
                f" {_middle([end])}"
                for (row, column), (first, end) in last.items()
            ]
            return f"{sentence}, median [lowest, highest network]: {'; '.join(panels)}."
        parts = []
        for one in study.levels(keys[0]):
            ends = [cells for (row, _), cells in last.items() if row == one]
            if ends:
                parts.append(
                    f"{level(keys[0], one)} {_middle([first for first, _ in ends])} →"
                    f" {_middle([end for _, end in ends])}"
                )
        return f"{sentence}, median over the columns [lowest, highest network]: {'; '.join(parts)}."


def _overall(rows: pd.DataFrame, keys: tuple[str, str]) -> str:
    """What is left at the longest lag over all figures together, where that lag is the same."""
    top = rows[(rows["above"] == 0) & rows["log10_mean"].notna()]
    panels = [own for _, own in top.groupby([*keys, "points"], observed=True)]
    if top.empty or len({int(own["lag"].max()) for own in panels}) > 1:
        return ""
    ends = [
        [_far(own[own["stage"] == stage]) for own in panels if (own["stage"] == stage).any()]
        for stage in (top["stage"].min(), top["stage"].max())
    ]
    lag = int(top["lag"].max())
    return (
        f"Gradient of the loss left {lag} steps back, powers of ten, first → last probe, median"
        f" over the panels [lowest, highest network]: {_middle(ends[0])} → {_middle(ends[1])}."
    )


def _middle(cells: list[Far]) -> str:
    """Median of the finite values with the range over networks, and the number of others."""
    values = [cell.value for cell in cells if known(cell.value)]
    without = [cell.why for cell in cells if not known(cell.value)]
    if not values:
        return listing(dict.fromkeys(without))
    found = [cell for cell in cells if known(cell.value)]
    low, high = min(cell.lowest for cell in found), max(cell.highest for cell in found)
    return _with_range(float(np.median(values)), low, high) + (
        f" ({len(without)} of {len(cells)} {listing(dict.fromkeys(without))})" if without else ""
    )


def _with_range(value: float, low: float, high: float) -> str:
    ends = ["exactly 0" if end == -math.inf else number(end, 1) for end in (low, high)]
    return number(value, 1) + (f" [{', '.join(ends)}]" if ends[0] != ends[1] else "")


def _leaves(rows: pd.DataFrame, span: tuple[float, float]) -> bool:
    return bool((rows["log10_mean"] < span[0]).any() or (rows["log10_mean"] > span[1]).any())


def _far(rows: pd.DataFrame) -> Far:
    """What is left at the longest lag."""
    if rows.empty:
        return Far(math.nan, math.nan, math.nan, "–")
    row = rows.loc[rows["lag"].idxmax()]
    why = "not finite" if row["bad"] > 0.5 else "exactly 0" if row["zero"] > 0.5 else "n/a"
    value, low, high = (float(row[name]) for name in ("log10_mean", "lowest", "highest"))
    return Far(value, low, high, why)


def _cell(far: Far) -> Cell:
    if not known(far.value):
        return Cell(far.why, None)
    return Cell(_with_range(far.value, far.lowest, far.highest), far.value)
