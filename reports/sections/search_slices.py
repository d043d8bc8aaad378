"""Slices: score against each searched key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.blocks import Cell, Figure, Rows, Table
from reports.data.search import Search, SearchSection, numeric, shown
from reports.figures.hues import hue_of
from reports.figures.marks import Mark, marked
from reports.figures.theme import INK, draw, markers, panels
from reports.formatting import level, listing, score_number

HOW = (
    "Every mark is a trial; across: the value it had of one key, up: its score. A clear hill says"
    " that the key matters and where it is best; a flat cloud that it does not; a hill whose top"
    " lies at the edge that the space was too small. Where a key has few values, recipes stand"
    " beside one another."
)


FEW = 4  # up to this many distinct values, each has a tick
SOME = 12  # up to this many distinct values, arms are drawn side by side


class Slices(SearchSection):
    """One panel per key and level of the first factor; colour and marker: the other factors."""

    title = "Score by searched key"

    def blocks(self, search: Search) -> list[Figure]:
        return [] if search.complete.empty else [figure(search)]


def figure(search: Search) -> Figure:
    picture = draw(lambda rasterized: slices(search), name="search-slices")
    rows: Rows = []
    spans = []
    for key in search.keys:
        best = search.numbers(key)
        best = best[best["best"].astype(bool)]
        values = [shown(float(text)) if numeric(text) else text for text in best["value"]]
        spans.append(f"{key} {value_range(list(best['value']))}")
        rows += [
            [search.labels[arm], key, Cell(value, float(place))]
            for arm, value, place in zip(best["arm"], values, best["number"], strict=True)
        ]
    finding = f"Best values over the recipes: {listing(spans)}."
    caption = (
        "Every trial that was trained to its end; filled: the best of its recipe. One scale of"
        " scores for all panels."
    )
    table = Table(
        ["recipe", "key", "best value"], rows, "Best values by recipe and key", filtered=True
    )
    return Figure(picture, caption, f"Score by searched key. {finding}", table, 10.0, finding, HOW)


def value_range(values: list[str]) -> str:
    """Lowest and highest number, or the words."""
    if values and all(map(numeric, values)):
        ordered = sorted(map(float, values))
        return (
            shown(ordered[0])
            if ordered[0] == ordered[-1]
            else f"{shown(ordered[0])} to {shown(ordered[-1])}"
        )
    return listing(dict.fromkeys(values))


def offsets(places: list[float], many: int, *, log: bool) -> list[float]:
    """Offset of each of `many` kinds of marks, so that they do not overlap at the same value.

    In decades on a log axis.
    """
    where = np.log10(places) if log else np.array(places)
    least = min(float(np.diff(where).min()), 0.2 * float(np.ptp(where))) if len(where) > 1 else 0.0
    return [0.6 * least * (place - (many - 1) / 2) / many for place in range(many)]


@dataclass(frozen=True)
class KeyAxis:
    """The x axis of one searched key: its values, limits and ticks.

    `shifts`: how far each kind of mark stands from its value.
    """

    trials: pd.DataFrame
    log: bool
    limits: tuple[float, float]
    ticks: dict[float, str]
    shifts: list[float]
    all_ticks: bool  # every value has a tick


def key_axis(search: Search, key: str, kinds: int) -> KeyAxis:
    """The axis of a key for this many kinds of marks."""
    trials = search.numbers(key)
    log = key in search.summary["logarithmic"]
    worded = not all(map(numeric, trials["value"]))
    low, high = float(trials["number"].min()), float(trials["number"].max())
    edge = (high / low) ** 0.1 if log else 0.1 * (high - low) or 1.0
    limits = (low / edge, high * edge) if log else (low - edge, high + edge)
    ticks = {
        float(place): text
        for place, text in sorted(set(zip(trials["number"], trials["value"], strict=True)))
    }
    few = len(ticks) <= SOME or worded
    shifts = offsets(sorted(ticks), kinds, log=log) if few else [0.0] * kinds
    return KeyAxis(trials, log, limits, ticks, shifts, len(ticks) <= FEW or worded)


def slices(search: Search) -> Drawing:
    """One column per searched key, one row per level of the first factor."""
    factors = search.summary["factors"]
    first = next(iter(factors), None)
    names = list(factors[first]) if first else ["all"]
    rest = {arm["arm"]: _rest(arm["levels"], first) for arm in search.arms}
    shapes = markers(rest.values())
    kinds = list(shapes)
    drawing, axes = panels(
        len(names),
        len(search.keys),
        width=10,
        height=0.85 + 1.6 * len(names),
        left=0.6,
        right=0.1,
        top=0.55,
        bottom=0.45,
        gap=(0.15, 0.3),
    )
    scores = search.complete["score"]
    pad = 0.05 * (float(scores.max() - scores.min()) or 1)
    for column, key in enumerate(search.keys):
        x = key_axis(search, key, len(kinds))
        for row, name in enumerate(names):
            axis = axes[row, column]
            for arm in search.arms:
                if first and str(dict(arm["levels"]).get(first)) != str(name):
                    continue
                kind = rest[arm["arm"]]
                shift = x.shifts[kinds.index(kind)]
                name = search.labels[arm["arm"]]
                ink = hue_of(factors, dict(arm["levels"]))
                _marks(axis, x, arm["arm"], name, shift, ink, shapes[kind])
            axis.set_ylim(scores.min() - pad, scores.max() + pad)
            _set_x(axis, x, key, last=row == len(names) - 1)
            if column:
                axis.set_yticklabels([])
            else:
                axis.set_ylabel(level(first, name) if first else "validation score")
    handles = [
        axes[0, 0].plot([], [], shapes[text], color=INK, markersize=4, label=text)[0]
        for text in dict.fromkeys(rest.values())
    ]
    drawing.legend(
        handles=handles, loc="upper left", ncols=min(5, len(handles)), bbox_to_anchor=(0.05, 1.0)
    )
    return drawing


def _rest(labels: Mapping[str, object], first: str | None) -> str:
    """An arm by all its levels but that of the first factor."""
    return " · ".join(level(key, value) for key, value in labels.items() if key != first) or "all"


def _marks(axis: Axes, x: KeyAxis, arm: str, name: str, shift: float, ink: str, shape: str) -> None:
    """The trials of an arm; its best one filled."""
    own = x.trials[x.trials["arm"] == arm]
    best = own["best"].astype(bool)
    at = own["number"] * 10**shift if x.log else own["number"] + shift
    style: dict[str, Any] = {"marker": shape, "linestyle": "none", "color": ink}
    others = axis.plot(
        at[~best],
        own.loc[~best, "score"],
        markersize=3.6,
        markerfacecolor="none",
        markeredgewidth=0.7,
        **style,
    )
    first = axis.plot(
        at[best],
        own.loc[best, "score"],
        markersize=6.5,
        markeredgecolor=INK,
        markeredgewidth=0.7,
        **style,
    )
    for artist, some in ((others[0], own[~best]), (first[0], own[best])):
        each = zip(some["trial"], some["value"], some["score"], strict=True)
        marked(
            artist,
            *(Mark(f"{name}, trial {n}: {at}, {score_number(one, 3)}") for n, at, one in each),
        )


def _set_x(axis: Axes, x: KeyAxis, key: str, *, last: bool) -> None:
    if x.log:
        axis.set_xscale("log")
        axis.minorticks_off()
    axis.set_xlim(*x.limits)
    if x.all_ticks:
        axis.set_xticks(list(x.ticks), list(x.ticks.values()))
    if last:
        axis.set_xlabel(key)
    else:
        axis.set_xticklabels([])
