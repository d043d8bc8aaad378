"""Learning curves: median and range by recipe, and every lost network on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.marks import Mark, marked
from reports.figures.theme import SOFT, legend, panels, row_title, shared_x_label, update_ticks
from reports.formatting import shorten

LOST = "#c8102e"
RIGHT, BOTTOM = 0.15, 0.48  # inches: margins
LONGEST_ROW = 30  # characters of a row's name
ROW = 1.35  # inches: height of a row of panels


@dataclass(frozen=True)
class Curve:
    """One line: of a recipe with its range, or of a lost network without one.

    `panel`: row within its measure, and column; `kept`: the update whose weights were kept.
    """

    measure: int
    panel: tuple[int, int]
    x: np.ndarray
    y: np.ndarray
    shows: Mark
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    colour: str = LOST
    dash: object = "solid"
    kept: float | None = None


@dataclass(frozen=True)
class Measure:
    """What some rows of panels show: its name, limits of the y axis, and marked values."""

    text: str
    limits: tuple[float, float]
    dashed: Sequence[float]


def learning_curves(
    curves: Sequence[Curve],
    measures: Sequence[Measure],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    last: float,
    keys: Sequence[tuple[str, Mapping[str, Any]]],
    width: float,
    rasterized: bool,
) -> Figure:
    """Rows of panels measure by measure; `keys`: the legend; `last`: the last update shown."""
    count = len(measures) * len(rows)
    rows = [shorten(row, LONGEST_ROW) for row in rows]
    columns = [shorten(column, round(10 * width / len(columns))) for column in columns]
    left = 0.78 + 0.07 * max(map(len, rows)) if len(rows) > 1 else 0.72
    figure, axes = panels(
        count,
        len(columns),
        width=width,
        height=0.6 + BOTTOM + (ROW + 0.14) * count + (0.6 if len(rows) == 1 else 0),
        left=left,
        right=RIGHT,
        top=0.6,
        bottom=BOTTOM,
        gap=(0.14, 0.14),
    )
    for at, measure in enumerate(measures):
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                axis = axes[at * len(rows) + i, j]
                for one in curves:
                    if (one.measure, one.panel) == (at, (i, j)):
                        _draw(axis, one, rasterized)
                for mark in measure.dashed:
                    axis.axhline(mark, color=SOFT, linewidth=0.8, dashes=(3, 2), zorder=1)
                axis.set(xlim=(0, last), ylim=measure.limits)
                bottom = at * len(rows) + i == count - 1
                axis.tick_params(labelleft=j == 0, labelbottom=bottom)
                if bottom:
                    update_ticks(axis, last)
                if at == i == 0:
                    axis.set_title(column)
                if j == 0:
                    axis.set_ylabel(measure.text if len(rows) == 1 else "")
                    row_title(axis, row, away=0.45, width=width, size=8)
        if len(rows) > 1:
            _name(figure, axes[at * len(rows), 0], axes[(at + 1) * len(rows) - 1, 0], measure.text)
    shared_x_label(figure, "update", left=left, right=RIGHT)
    legend(figure, keys, left=left)
    return figure


def _name(figure: Figure, first: Axes, last: Axes, text: str) -> None:
    """The measure's name beside its rows."""
    middle = (first.get_position().y1 + last.get_position().y0) / 2
    figure.text(0.008, middle, text, rotation=90, ha="left", va="center", fontsize=8.5)


def _draw(axis: Axes, one: Curve, rasterized: bool) -> None:
    style: dict[str, Any] = {"color": one.colour, "linestyle": one.dash, "rasterized": rasterized}
    if one.low is not None and one.high is not None:
        axis.fill_between(
            one.x, one.low, one.high, color=one.colour, alpha=0.13, linewidth=0, zorder=2
        )
        (line,) = axis.plot(one.x, one.y, linewidth=1.3, zorder=3, **style)
    else:
        (line,) = axis.plot(one.x, one.y, linewidth=0.9, alpha=0.85, zorder=4, **style)
    marked(line, one.shows)
    if one.kept is not None:
        y = float(np.interp(one.kept, one.x, one.y))
        axis.plot(
            [one.kept], [y], "o", color=one.colour, markersize=3.6, markeredgewidth=0, zorder=5
        )
