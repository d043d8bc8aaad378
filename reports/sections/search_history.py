"""Search history: every trial of every arm, and the best so far."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.blocks import Cell, Figure, Rows, Table
from reports.data.search import Search, SearchSection
from reports.figures.marks import Mark, marked
from reports.figures.theme import INK, SOFT, draw, panels
from reports.formatting import count, score_number

HOW = (
    "Trials from left to right in the order they began; the line is the best so far. A line that"
    " still climbs at the right says that the budget was too small; one that is flat for long"
    " that it was enough. The height of the best is optimistic because of the search itself; only"
    " test scores on fresh seeds count."
)


COLUMNS = 3


class History(SearchSection):
    """Score against trial by arm."""

    title = "History of the search"

    def blocks(self, search: Search) -> list[Figure]:
        return [] if search.complete.empty else [figure(search)]


def figure(search: Search) -> Figure:
    picture = draw(lambda rasterized: lines(search), name="search-history")
    rows: Rows = []
    late = 0
    for arm, label in search.labels.items():
        own = search.best_so_far(arm)
        if own.empty:
            continue
        first = own[own["score"] == own["best"].iloc[-1]].iloc[0]
        late += int(first["trial"] >= 0.8 * own["trial"].max() and len(own) > 4)
        rows.append(
            [
                label,
                str(int(first["trial"])),
                Cell(score_number(first["score"], 3), first["score"]),
                str(len(own)),
            ]
        )
    finding = (
        f"The best trial came in the last fifth of the budget in {late} of"
        f" {count(len(rows), 'recipe')}."
    )
    caption = (
        "One mark per trial trained to its end, in the order of their numbers; ring: the default"
        " setting; cross: pruned, with its score so far; line: best so far. Where the line still"
        " rises at the end, a larger budget may find more."
    )
    table = Table(
        ["recipe", "trial of the best", "its score", "trials"],
        rows,
        "When the best setting was found",
    )
    return Figure(picture, caption, f"History of the search. {finding}", table, 10.0, finding, HOW)


def lines(search: Search) -> Drawing:
    arms = list(search.labels)
    columns = min(COLUMNS, len(arms))
    rows = math.ceil(len(arms) / columns)
    drawing, axes = panels(
        rows,
        columns,
        width=10,
        height=0.6 + 1.75 * rows,
        left=0.6,
        right=0.1,
        top=0.3,
        bottom=0.45,
        gap=(0.2, 0.5),
    )
    scores = search.complete["score"]
    low, high = float(scores.min()), float(scores.max())
    pad = 0.05 * (high - low or 1)
    for place in range(rows * columns):
        axis = axes[place // columns, place % columns]
        if place >= len(arms):
            axis.set_axis_off()
            continue
        _trials(axis, search, arms[place], low, high)
        axis.set(ylim=(low - pad, high + pad), title=search.labels[arms[place]])
        axis.xaxis.get_major_locator().set_params(integer=True)
        if place % columns:
            axis.set_yticklabels([])
        else:
            axis.set_ylabel("validation score")
        if place // columns == rows - 1:
            axis.set_xlabel("trial")
    return drawing


def _trials(axis: Axes, search: Search, arm: str, low: float, high: float) -> None:
    """Complete and pruned trials of an arm, the default setting, and the best so far."""
    own = search.best_so_far(arm)
    pruned = search.trials[(search.trials["arm"] == arm) & (search.trials["status"] == "pruned")]
    best = axis.plot(own["trial"], own["best"], color=INK, drawstyle="steps-post", linewidth=1.2)
    dots = axis.plot(
        own["trial"], own["score"], "o", color=INK, markersize=3, markeredgewidth=0, alpha=0.8
    )
    crosses = axis.plot(
        pruned["trial"],
        pruned["score"].clip(low, high),
        "x",
        color=SOFT,
        markersize=3.5,
        markeredgewidth=0.9,
    )
    name = search.labels[arm]
    if len(own):
        marked(best[0], Mark(f"{name}: best so far {score_number(own['best'].iloc[-1], 3)}"))
    for artist, some, how in ((dots[0], own, ""), (crosses[0], pruned, ", pruned")):
        each = zip(some["trial"], some["score"], strict=True)
        marked(
            artist, *(Mark(f"{name}, trial {n}: {score_number(one, 3)}{how}") for n, one in each)
        )
    default = own[own["default"].astype(bool)]
    axis.plot(
        default["trial"],
        default["score"],
        "o",
        markerfacecolor="none",
        markeredgecolor=INK,
        markersize=7,
        markeredgewidth=1,
    )
