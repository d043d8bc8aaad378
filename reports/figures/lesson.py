"""Drawing of a claim for a classroom: a line per network of its two sides, in large letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from reports.figures.marks import Mark, marked
from reports.figures.theme import INK, SLOTS, SOFT, panels

WIDTH, HEIGHT = 3.8, 2.0  # inches: small, so that letters are large on the page
RED = SLOTS[6]


@dataclass(frozen=True)
class Line:
    """A network's line. `first`: of the side that the claim says is better; `colour`: of its cell,
    or ""; `start`: before training.
    """

    x: np.ndarray
    y: np.ndarray
    first: bool
    mark: Mark
    colour: str = ""
    lost: bool = False
    start: bool = False


def lines_of_two_sides(
    lines: Sequence[Line], names: tuple[str, str], x: str, y: str, lag: float | None
) -> Drawing:
    """Solid lines for the first side, dashed ones for the other. `lag`: is marked, if any."""
    figure, axes = panels(
        1, 1, width=WIDTH, height=HEIGHT, left=0.62, right=0.12, top=0.3, bottom=0.45, gap=(0, 0)
    )
    axis = axes[0, 0]
    for line in lines:
        drawn = axis.plot(
            line.x,
            np.where(np.isfinite(line.y), line.y, np.nan),
            color=RED if line.lost else line.colour or (INK if line.first else SOFT),
            linestyle="solid" if line.first else (0, (4, 1.8)),
            linewidth=0.7 if line.start else 1.7,
            alpha=0.6 if line.start else 0.9,
        )
        marked(drawn[0], line.mark)
    if lag is not None:
        axis.axvline(lag, color=SOFT, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=0)
    for at, (name, sign) in enumerate(zip(names, ("—", "- -"), strict=True)):
        place = {"x": at, "ha": "left" if at == 0 else "right"}
        axis.text(y=1.04, s=f"{sign} {name}", transform=axis.transAxes, va="bottom", **place)
    axis.set(xlabel=x, ylabel=y)
    axis.yaxis.set_major_locator(MaxNLocator(4))
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.margins(x=0.02)
    return figure
