"""Parallel coordinates: all settings of every trial."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure as Drawing

from reports.blocks import Cell, Figure, Rows, Table
from reports.data.search import Search, SearchSection, numeric, shown
from reports.figures.marks import Mark, marked
from reports.figures.theme import INK, SOFT, draw, panels
from reports.formatting import listing, score_number, short_names

HOW = (
    "A line is one setting that the search tried; it crosses each upright axis at its value of that"
    " key. Darker lines are the better trials: where they run together on an axis, that key matters"
    " and its good range is known; where they spread, it matters little or depends on another key."
)


COLUMNS = 3
RAMP = LinearSegmentedColormap.from_list("score", ["#b9c4d6", "#0a7fc2", "#0b3d91"])


class Parallel(SearchSection):
    """One panel per arm, one line per trial across the searched keys."""

    title = "Settings of the search"

    def blocks(self, search: Search) -> list[Figure]:
        return [] if search.complete.empty or len(search.keys) < 2 else [figure(search)]


def places(search: Search) -> dict[str, pd.DataFrame]:
    """Each key's values between 0 and 1 of the range tried, on the key's own scale."""
    found = {}
    for key in search.keys:
        trials = search.numbers(key)
        values = (
            np.log10(trials["number"])
            if key in search.summary["logarithmic"]
            else trials["number"].astype(float)
        )
        low, high = values.min(), values.max()
        found[key] = trials.assign(place=(values - low) / (high - low) if high > low else 0.5)
    return found


def figure(search: Search) -> Figure:
    at = places(search)
    picture = draw(lambda rasterized: drawing(search, at), name="search-parallel")
    spans = [
        f"{key} from {shown(float(trials['number'].min()))} to"
        f" {shown(float(trials['number'].max()))}"
        for key, trials in at.items()
    ]
    finding = f"The trials went through {listing(spans)}."
    caption = (
        "One line per trial trained to its end, over the searched keys, each from its lowest to its"
        " highest value that was tried (levels that are words by their place in the alphabet);"
        " darker: better within its recipe; black: the best."
    )
    values = {key: trials.set_index(["arm", "trial"])["value"] for key, trials in at.items()}
    rows: Rows = []
    for _, trial in search.complete.iterrows():
        sentences = [
            shown(float(text)) if numeric(text) else text
            for text in (values[key][trial["arm"], trial["trial"]] for key in search.keys)
        ]
        rows.append(
            [
                search.labels[trial["arm"]],
                Cell(str(trial["trial"]), float(trial["trial"])),
                Cell(score_number(trial["score"], 3), trial["score"]),
                *sentences,
            ]
        )
    table = Table(
        ["recipe", "trial", "score", *search.keys],
        rows,
        "Every trial trained to its end",
        filtered=True,
    )
    return Figure(picture, caption, f"Settings of the trials. {finding}", table, 10.0, finding, HOW)


def drawing(search: Search, at: dict[str, pd.DataFrame]) -> Drawing:
    arms, keys = list(search.labels), search.keys
    columns = min(COLUMNS, len(arms))
    rows = math.ceil(len(arms) / columns)
    made, axes = panels(
        rows,
        columns,
        width=10,
        height=0.4 + 1.6 * rows,
        left=0.25,
        right=0.25,
        top=0.3,
        bottom=0.35,
        gap=(0.35, 0.55),
    )
    for place in range(rows * columns):
        axis = axes[place // columns, place % columns]
        if place >= len(arms):
            axis.set_axis_off()
            continue
        own = search.complete[search.complete["arm"] == arms[place]]
        ranks = (search.sign * own["score"]).rank(pct=True)
        trials = {
            key: frame[frame["arm"] == arms[place]].set_index("trial")["place"]
            for key, frame in at.items()
        }
        for trial, rank, best in sorted(
            zip(own["trial"], ranks, own["best"].astype(bool), strict=True),
            key=lambda one: (one[2], one[1]),
        ):
            heights = [float(trials[key].get(trial, np.nan)) for key in keys]
            line = axis.plot(
                range(len(keys)),
                heights,
                color=INK if best else RAMP(float(rank)),
                linewidth=1.8 if best else 0.8,
                alpha=1.0 if best else 0.75,
            )
            found = score_number(own.loc[own["trial"] == trial, "score"].iloc[0], 3)
            marked(line[0], Mark(f"{search.labels[arms[place]]}, trial {trial}: {found}"))
        for index in range(len(keys)):
            axis.axvline(index, color=SOFT, linewidth=0.5, zorder=0)
        axis.set(
            xlim=(-0.15, len(keys) - 0.85), ylim=(-0.06, 1.06), title=search.labels[arms[place]]
        )
        axis.set_xticks(range(len(keys)), list(short_names(keys).values()))
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
    return made
