"""Pareto front of a search with several objectives."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports.blocks import Cell, Figure, Rows, Table
from reports.data.search import Search, SearchSection, numeric, objective_name, setting
from reports.figures.marks import Mark, marked
from reports.figures.theme import INK, SOFT, draw, panels
from reports.formatting import count, score_number

HOW = (
    "A mark is one trial. Filled marks are on the [Pareto front] of their [recipe]: no other trial"
    " of"
    " that recipe is better in one objective without being worse in another. Going along the filled"
    " marks tells what a better score costs."
)


UNITS = {"health": "gradient health (powers of ten)", "cost": "cost (s of one core, planned)"}
COLUMNS = 3


class Front(SearchSection):
    """Score against each other objective, by arm; settings that no other beats are joined."""

    title = "Front of the search"

    def blocks(self, search: Search) -> list[Figure]:
        return (
            []
            if search.complete.empty
            else [
                figure(search, other) for other in search.summary["objectives"] if other != "score"
            ]
        )


def figure(search: Search, other: str) -> Figure:
    picture = draw(lambda rasterized: drawing(search, other), name=f"search-front-{other}")
    front = search.complete[search.complete["front"].astype(bool)]
    sizes = front.groupby("arm").size()
    finding = (
        f"{count(int(sizes.sum()), 'setting')} over {count(len(sizes), 'recipe')} are beaten by no"
        " other of their recipe in all objectives."
    )
    caption = (
        "Every trial trained to its end; filled: on the front over"
        f" {', '.join(map(objective_name, search.summary['objectives']))}. A search writes the"
        " front's best score down."
    )
    values = search.settings.groupby(["arm", "trial"])[["key", "value"]].apply(
        lambda own: dict(zip(own["key"], own["value"], strict=True))
    )
    rows: Rows = []
    for _, trial in front.iterrows():
        sentence = setting(
            {
                key: float(value) if numeric(value) else value
                for key, value in values.get((trial["arm"], trial["trial"]), {}).items()
            }
        )
        scores = [
            Cell(score_number(trial[name], 3), trial[name]) for name in search.summary["objectives"]
        ]
        rows.append([search.labels[trial["arm"]], *scores, sentence])
    table = Table(
        ["recipe", *map(objective_name, search.summary["objectives"]), "setting"],
        rows,
        "Settings on the front",
        filtered=True,
    )
    return Figure(
        picture,
        caption,
        f"Score against {objective_name(other)}. {finding}",
        table,
        10.0,
        finding,
        HOW,
    )


def drawing(search: Search, other: str) -> Drawing:
    arms = list(search.labels)
    columns = min(COLUMNS, len(arms))
    rows = math.ceil(len(arms) / columns)
    made, axes = panels(
        rows,
        columns,
        width=10,
        height=0.6 + 1.8 * rows,
        left=0.6,
        right=0.1,
        top=0.3,
        bottom=0.45,
        gap=(0.2, 0.5),
    )
    complete = search.complete
    for place in range(rows * columns):
        axis = axes[place // columns, place % columns]
        if place >= len(arms):
            axis.set_axis_off()
            continue
        own = complete[complete["arm"] == arms[place]]
        on = own["front"].astype(bool)
        beaten = axis.plot(
            own.loc[~on, other],
            own.loc[~on, "score"],
            "o",
            markerfacecolor="none",
            markeredgecolor=SOFT,
            markersize=4,
            markeredgewidth=0.8,
        )
        front = axis.plot(
            own.loc[on, other],
            own.loc[on, "score"],
            "o",
            color=INK,
            markersize=4.5,
            markeredgewidth=0,
        )
        name = search.labels[arms[place]]
        for artist, some in ((beaten[0], own[~on]), (front[0], own[on])):
            each = zip(some["trial"], some["score"], some[other], strict=True)
            marked(
                artist,
                *(
                    Mark(f"{name}, trial {n}: {score_number(one, 3)}, {UNITS[other]} {cost:.3g}")
                    for n, one, cost in each
                ),
            )
        axis.set(
            xlim=_span(complete[other]),
            ylim=_span(complete["score"]),
            title=search.labels[arms[place]],
        )
        if place % columns:
            axis.set_yticklabels([])
        else:
            axis.set_ylabel("validation score")
        if place // columns == rows - 1:
            axis.set_xlabel(UNITS[other])
    return made


def _span(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    pad = 0.06 * (high - low or 1)
    return low - pad, high + pad
