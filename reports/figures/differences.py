"""Drawing of differences with intervals, a row each, against 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure as Drawing

from reports.figures.marks import Mark, marked
from reports.figures.theme import INK, SOFT, panels
from reports.formatting import shorten
from reports.statistics import Estimate

WIDTH = 10.0
LONGEST = 52  # characters of a label
SHAPES = {1: "^", 0: "o", -1: "v"}


@dataclass(frozen=True)
class Row:
    """`way`: 1 if it is better, −1 if worse, 0 if that cannot be told; `sure`: whether it is among
    all rows. `wide`: the interval that holds for all rows together. `words` stand beside it.
    """

    label: str
    difference: Estimate
    wide: Estimate
    way: int
    sure: bool
    words: str


def forest(rows: Sequence[Row], text: str, better: str) -> Drawing:
    """A row each from the top down. `text`: what the axis is; `better`: left or right."""
    left = min(4.2, 0.4 + 0.068 * max(min(len(one.label), LONGEST) for one in rows))
    height = 0.75 + 0.22 * len(rows)
    figure, axes = panels(
        1, 1, width=WIDTH, height=height, left=left, right=2.2, top=0.1, bottom=0.5, gap=(0, 0)
    )
    axis = axes[0, 0]
    axis.axvline(0, color=SOFT, linewidth=0.8, zorder=0)
    ends = [end for one in rows for end in (one.difference.low, one.difference.high)]
    ends += [one.difference.value for one in rows] + [0.0]
    known = [end for end in ends if np.isfinite(end)]
    low, high = min(known), max(known)
    pad = 0.06 * ((high - low) or 1)
    low, high = low - pad, high + pad
    for y, one in enumerate(rows):
        colour = INK if one.way else SOFT
        axis.hlines(
            y, max(one.wide.low, low), min(one.wide.high, high), color=colour, linewidth=0.6
        )
        axis.hlines(y, one.difference.low, one.difference.high, color=colour, linewidth=1.8)
        dot = axis.plot(
            one.difference.value,
            y,
            marker=SHAPES[one.way],
            markersize=6,
            color=colour,
            markerfacecolor=colour if one.sure or not one.way else "none",
        )
        marked(dot[0], Mark(f"{one.label}: {one.words}"))
        axis.text(
            1.02,
            y,
            one.words.split(",")[0],
            transform=axis.get_yaxis_transform(),
            va="center",
            fontsize=7.5,
            color=INK,
        )
    axis.set(xlim=(low, high), ylim=(len(rows) - 0.5, -0.5))
    axis.set_xlabel(f"{text} ({better} of 0 is better)")
    axis.set_yticks(range(len(rows)), [shorten(one.label, LONGEST) for one in rows])
    axis.tick_params(axis="y", length=0)
    return figure
