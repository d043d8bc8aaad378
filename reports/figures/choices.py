"""Drawing of the study's question: a panel per level of one factor, the levels of the other in
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.figures.marks import Mark, marked
from reports.figures.theme import (
    DASHES,
    INK,
    MARKERS,
    PAPER,
    SOFT,
    colours,
    legend,
    panels,
    shared_y_label,
)
from reports.formatting import decimals, known, level, levels, number, short_name, shorten
from reports.statistics import Estimate

WIDTH = 10.0
ACROSS = 5  # panels in a row
LEAST_SPAN = 0.01  # of the y axis, as a share of the largest value
PLACES = ((-5, 0), (0, 6), (0, -6), (10, 0))  # of a value beside its mark, in points


@dataclass(frozen=True)
class Mean:
    """A mean of arms: its panel, its place on x, its line, and the networks behind it.

    `says`, `dots`: what the mean and each network show to who touches them.
    """

    panel: str
    x: str
    line: int
    mean: Estimate
    points: pd.DataFrame
    arms: int
    says: Mark
    dots: Sequence[Mark]


def choices(
    of_panels: tuple[str, Sequence[str]],
    of_x: tuple[str, Sequence[str]],
    lines: Sequence[Mapping[str, str]],
    marks: Sequence[Mean],
    y_label: str,
    *,
    runs: bool,
) -> Drawing:
    """One panel per level of the first factor. Hue is the cell alone."""
    panel_key, names = of_panels
    x_key, xs = of_x
    across = min(ACROSS, len(names))
    down = math.ceil(len(names) / across)
    several = len(lines) > 1
    factor = f"{short_name(x_key)} "  # once below the axis, if every level has it
    texts = [level(x_key, x) for x in xs]
    named = all(text.startswith(factor) for text in texts)
    texts = [shorten(text.removeprefix(factor) if named else text, 16) for text in texts]
    turned = max(map(len, texts)) * len(xs) * across > 150
    bottom = (0.85 if turned else 0.34) + (0.18 if named else 0.0)
    top = 0.62 if several else 0.32
    figure, axes = panels(
        down,
        across,
        width=WIDTH,
        height=top + bottom + 2.35 * down + (down - 1) * (0.4 + bottom),
        left=0.72,
        right=0.12,
        top=top,
        bottom=bottom,
        gap=(0.14, 0.4 + bottom),
    )
    of_cells = colours(names if panel_key == "cell" else xs if x_key == "cell" else [])

    def ink(mark: Mean) -> str:
        return of_cells.get(mark.panel if panel_key == "cell" else mark.x, INK)

    joined = x_key != "cell"  # cells are no scale that a line could follow
    low, high = _span(marks, runs=runs)
    for number_of, name in enumerate(names):
        axis = axes[number_of // across, number_of % across]
        own = [mark for mark in marks if mark.panel == name]
        for line in range(len(lines)):
            _line(
                axis, [mark for mark in own if mark.line == line], xs, len(lines), ink, runs, joined
            )
        axis.set(
            xlim=(-0.55, len(xs) - (0.45 if len(lines) < 3 else 0.3)),
            ylim=(low, high),
            title=level(panel_key, name),
        )
        turn = {"rotation": 30, "ha": "right"} if turned else {}
        axis.set_xticks(range(len(xs)), texts, **turn)
        axis.tick_params(axis="x", length=0)
        if named:
            axis.set_xlabel(factor.strip())
        if number_of % across:
            axis.tick_params(labelleft=False)
    for spare in range(len(names), across * down):
        axes[spare // across, spare % across].set_visible(False)
    shared_y_label(figure, y_label, x=0.13, top=top, bottom=bottom)
    if several:
        entries = [
            (
                levels(line),
                {
                    "marker": MARKERS[at % len(MARKERS)],
                    "linestyle": DASHES[at % len(DASHES)],
                    "color": INK,
                    "markersize": 5,
                    "markeredgewidth": 0,
                },
            )
            for at, line in enumerate(lines)
        ]
        legend(figure, entries, left=0.72)
    return figure


def _line(
    axis: Axes,
    own: Sequence[Mean],
    xs: Sequence[str],
    lines: int,
    ink: Callable[[Mean], str],
    runs: bool,
    joined: bool,
) -> None:
    """One line of means over the axis, with their intervals, values, and the networks behind."""
    if not own:
        return
    line = own[0].line
    # Values of one line stand above their marks, of two to their left; of more, away from one
    # another.
    place = PLACES[1 if lines == 1 else 0 if lines == 2 else -1 if line == lines - 1 else line]
    shift = (line - (lines - 1) / 2) * min(0.26, 0.6 / lines)
    at = [(xs.index(mark.x) + shift, mark) for mark in own]
    # A line that skips a level would look like a value there.
    there = {xs.index(mark.x): (x, mark.mean.value) for x, mark in at}
    path = [there.get(number_of, (math.nan, math.nan)) for number_of in range(len(xs))]
    if joined:
        axis.plot(
            [x for x, _ in path],
            [y for _, y in path],
            color=ink(own[0]),
            linewidth=1.1,
            alpha=0.55,
            linestyle=DASHES[line % len(DASHES)],
            zorder=2,
        )
    for x, mark in at:
        one, colour = mark.mean, ink(mark)
        if known(one.low):
            bar = axis.plot(
                [x, x],
                [one.low, one.high],
                color=colour,
                linewidth=3.4,
                alpha=0.3,
                zorder=1,
                solid_capstyle="butt",
            )
            marked(bar[0], mark.says)
        if runs:
            dots = axis.plot(
                [x + 0.12] * len(mark.points),
                mark.points["counted"],
                "o",
                color=SOFT,
                markersize=2.8,
                alpha=0.6,
                markeredgewidth=0,
                zorder=1,
            )
            marked(dots[0], *mark.dots)
        mean = axis.plot(
            [x],
            [one.value],
            MARKERS[line % len(MARKERS)],
            color=colour,
            markersize=5.5,
            markeredgewidth=0,
            zorder=4,
        )
        marked(mean[0], mark.says)
        axis.annotate(
            number(one.value, decimals(one.value, one.half, 2)),
            (x, one.value),
            xytext=place,
            textcoords="offset points",
            fontsize=7,
            ha=("right", "center", "left")[1 + (place[0] > 0) - (place[0] < 0)],
            va=("top", "center", "bottom")[1 + (place[1] > 0) - (place[1] < 0)],
            color=INK,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
            zorder=5,
        )


def _span(marks: Sequence[Mean], *, runs: bool) -> tuple[float, float]:
    """Limits of y: all means, their intervals, and the networks that are drawn."""
    ends = [end for mark in marks for end in (mark.mean.value, mark.mean.low, mark.mean.high)]
    values = [float(end) for end in ends if known(end)]
    if runs:
        values += [float(one) for mark in marks for one in mark.points["counted"]]
    low, high = min(values), max(values)
    # Differences of less than a hundredth are not drawn as if they were large.
    short = max(0.0, LEAST_SPAN * max(abs(low), abs(high)) - (high - low)) / 2
    pad = short + 0.08 * (high - low or 1)
    return low - pad, high + pad
