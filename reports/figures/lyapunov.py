"""Lyapunov spectra: exponents from the largest to the smallest, before and after training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.marks import Mark, marked
from reports.figures.theme import (
    SOFT,
    PanelGrid,
    column_title,
    edge_labels,
    panel_note,
    panels,
    row_title,
    sequence,
    shared_x_label,
    shared_y_label,
)
from reports.formatting import number

LEFT, RIGHT, TOP, BOTTOM = 1.3, 0.72, 0.62, 0.48  # inches: margins


def lyapunov_spectra(
    rows: pd.DataFrame,
    grid: PanelGrid,
    *,
    forgets: float | None,
    floor: float,
    width: float,
    says: Callable[[int, int, str], Mark],
) -> Figure:
    """Draw `rows`, as dynamics.spectra returns them.

    `says`: the mark of a line in panel (row, column) that shows this text.
    `forgets`: the exponent below which less than a hundredth is left at the judged lag. Nothing
    below `floor` is drawn.
    """
    values = rows["value"].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    low = max(min([*values, forgets or 0.0, -0.1]), floor)
    high = max([*values, 0.1])
    pad = 0.06 * (high - low)
    height = TOP + BOTTOM + 1.2 * len(grid.row_levels)
    figure, axes = panels(
        len(grid.row_levels),
        len(grid.column_levels),
        width=width,
        height=height,
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
        gap=(0.12, 0.14),
    )
    ink = sequence(2)
    for i, j in grid:
        axis = axes[i, j]
        axis.set(xlim=(0, 1), ylim=(low - pad, high + pad))
        axis.axhline(0, color=SOFT, linewidth=0.8, zorder=1)
        if forgets is not None:
            axis.axhline(forgets, color=SOFT, linewidth=0.8, dashes=(3, 2), zorder=1)
        own = grid.select(rows, i, j)
        _lines(axis, own, ink, functools.partial(says, i, j), outside=low - 2 * pad)
        axis.set_xticks([0, 0.5, 1], ["largest", "", "smallest"] if grid.is_last(i, j)[0] else [])
        edge_labels(axis)
        if j:
            axis.tick_params(labelleft=False)
        else:
            row_title(axis, grid.row_names[i], away=0.58, width=width)
        if i == 0:
            column_title(axis, grid.column_names[j])
    shared_x_label(figure, "exponents of all layers, sorted", left=LEFT, right=RIGHT)
    shared_y_label(figure, "λ, nats per step", x=0.1, top=TOP, bottom=BOTTOM)
    _legend(figure, ink, width, height, forgets is not None)
    return figure


def _lines(
    axis: Axes,
    own: pd.DataFrame,
    ink: Sequence[str],
    says: Callable[[str], Mark],
    *,
    outside: float,
) -> None:
    """A line per probe; it leaves the panel (`outside`) where an exponent is −∞."""
    if own.empty:
        panel_note(axis, "no measured network")
    for end, line in own.groupby("end", sort=True):
        y = line["value"].to_numpy(dtype=float)
        drawn = axis.plot(
            line["share"],
            np.where(np.isfinite(y), y, outside),
            color=ink[int(end)],
            linewidth=1.5,
            zorder=3 + int(end),
        )
        largest = number(line["value"].max(), 3)
        marked(drawn[0], says(f"{'last' if end else 'first'} probe, largest exponent {largest}"))


def _legend(figure: Figure, ink: Sequence[str], width: float, height: float, limit: bool) -> None:
    bar = figure.add_axes((1.3 / width, 1 - 0.34 / height, (width - 2.0) / width, 0.3 / height))
    bar.set(xlim=(0, width - 2.0), ylim=(0, 1))
    bar.axis("off")
    x = 0.0
    for colour, word in zip(ink, ("first probe", "last probe"), strict=True):
        bar.plot([x, x + 0.26], [0.5, 0.5], color=colour, linewidth=2)
        bar.text(x + 0.32, 0.5, word, fontsize=8, va="center")
        x += 1.25
    if limit:
        bar.plot([x, x + 0.3], [0.5, 0.5], color=SOFT, linewidth=0.9, linestyle=(0, (3, 2)))
        bar.text(x + 0.36, 0.5, "1 % left at the judged lag", fontsize=8, va="center")
