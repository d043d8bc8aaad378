"""Figures on narrow screens: the same elements, one panel under the other."""

from __future__ import annotations

import itertools
import re

from matplotlib.figure import Figure

from reports.figures.theme import (
    column_title,
    draw,
    legend,
    panels,
    row_title,
    shared_x_label,
    shared_y_label,
)

ACROSS, DOWN = 3, 2


def grid(rasterized: bool) -> Figure:
    """2 × 3 panels that share their ticks, with names, a legend and common labels."""
    figure, axes = panels(
        DOWN, ACROSS, width=10, height=4, left=1, right=0.2, top=0.7, bottom=0.5, gap=(0.1, 0.4)
    )
    for i, j in itertools.product(range(DOWN), range(ACROSS)):
        axis = axes[i, j]
        axis.plot([0, 1], [0, i + j])
        axis.set(xlim=(0, 1), ylim=(0, 4))
        axis.tick_params(labelleft=j == 0, labelbottom=i == DOWN - 1)
        if i == 0:
            column_title(axis, f"column {j}")
        if j == 0:
            row_title(axis, f"row {i}", away=0.4, width=10)
    axes[0, 1].text(0.5, 2, "0.99964")
    legend(figure, [("one", {"color": "k"}), ("two", {"color": "k"})], left=1)
    shared_x_label(figure, "update", left=1, right=0.2)
    shared_y_label(figure, "lag", x=0.1, top=0.7, bottom=0.5)
    return figure


def test_panels_stack_without_being_drawn_twice() -> None:
    svg = str(draw(grid, name="grid"))
    across, tall = map(int, re.search(r"--narrow:(\d+);--tall:(\d+)", svg).groups())
    moves = re.findall(r'class="piece" style="--x:(-?\d+)px;--y:(-?\d+)px"', svg)
    assert len(moves) == DOWN * ACROSS + 4, "panels, and both parts of two entries of the legend"
    assert len(set(moves)) == DOWN * ACROSS + 2
    assert 280 <= across <= 300 and tall > 288 * 2
    # what a panel leaves to its neighbour it has for itself, by reference
    shared = re.findall(r'<use class="narrow" display="none" href="#(grid-[^"]+)"', svg)
    assert len(shared) == DOWN * (ACROSS - 1) + (DOWN - 1) * ACROSS
    assert all(f'id="{name}"' in svg for name in shared)
    hidden = re.findall(r'<text class="narrow" display="none"[^>]*>([^<]*)</text>', svg)
    named = [f"{kind} {n}" for kind, many in (("row", 2), ("column", 3)) for n in range(many)]
    assert {*hidden} == {*named, "Up: lag", "Across: update"}
    assert svg.count('class="wide"') == DOWN + ACROSS + 2


def test_one_panel_stays_as_it_is_and_texts_keep_their_digits() -> None:
    def one(rasterized: bool) -> Figure:
        figure, axes = panels(
            1, 1, width=10, height=3, left=1, right=0.2, top=0.2, bottom=0.5, gap=(0, 0)
        )
        axes[0, 0].text(0.5, 0.5, "0.99964")
        return figure

    svg = str(draw(one, name="one"))
    assert "stack" not in svg and "piece" not in svg
    assert ">0.99964</text>" in svg, "a number that somebody reads is not cut to three decimals"
