"""Gradient flow: the gradient of the loss by lag, one line per stage of training."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from reports.figures.marks import Mark, marked
from reports.figures.theme import (
    DASHES,
    INK,
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
from reports.formatting import count, known, number, shorten

CLASSES = {"exploding": "#c0392b", "fading": "#c9a227", "vanishing": "#44508a"}
STRIP = 0.055  # height of the rows for 0 and for Inf or NaN, as a share of the axis


LEFT, RIGHT, TOP, BOTTOM = 1.3, 0.72, 0.66, 0.48  # inches: margins


@dataclass(frozen=True)
class Scale:
    """What all panels share.

    Decades shown, longest lag, colour of each stage, and whether there are rows for 0 and for Inf
    or NaN, which mark shares above `counted`.
    """

    low: float
    high: float
    longest: float
    ink: Mapping[float, str]
    counted: float
    odd: bool

    @property
    def pad(self) -> float:
        return STRIP * (self.high - self.low) * 1.5 if self.odd else 0.0

    def is_end(self, stage: float) -> bool:
        """Whether it is the first or the last stage."""
        stages = list(self.ink)
        return stage in (stages[0], stages[-1])


def gradient_flow(
    rows: pd.DataFrame,
    decides: pd.DataFrame,
    grid: PanelGrid,
    *,
    limits: Mapping[str, float],
    lag: int | None,
    span: tuple[float, float],
    counted: float,
    width: float,
    says: Callable[[int, int, str], Mark],
) -> Figure:
    """Draw `rows`, as profiles.losses returns them, and `decides`, as profiles.deciding does.

    `says`: the mark of a line in panel (row, column) that shows this text. `span`: lowest and
    highest decade shown, the same in every figure of the report. The top layer has a line for every
    stage, and a 10–90 % band at the first and the last; lower layers have lines at these two.
    """
    stages = rows.groupby("stage")["update"].median()
    odd = bool(((rows["zero"] > counted) | (rows["bad"] > counted)).any())
    ink = dict(zip(stages.index, sequence(len(stages)), strict=True))
    scale = Scale(*span, float(rows["lag"].max()), ink, counted, odd)
    height = TOP + BOTTOM + 1.66 * len(grid.row_levels)
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
    for i, j in grid:
        axis = axes[i, j]
        axis.set(xlim=(scale.longest, 0), ylim=(scale.low - scale.pad, scale.high + scale.pad))
        _shade(axis, limits, scale.low, scale.high, grid.is_last(i, j)[1])
        if lag is not None:
            axis.axvline(
                min(lag, scale.longest), color=SOFT, linewidth=0.9, dashes=(3, 2), zorder=2
            )
        own = grid.select(rows, i, j)
        _panel(axis, own, scale, functools.partial(says, i, j), first=j == 0)
        _deciding(axis, grid.select(decides, i, j), scale, functools.partial(says, i, j))
        _ticks(axis, scale, bottom=grid.is_last(i, j)[0], left=j == 0)
        if i == 0:
            column_title(axis, grid.column_names[j])
        if j == 0:
            name = grid.row_names[i]
            row_title(
                axis, shorten(name, 16), away=0.58, width=width, size=8.5 if len(name) <= 11 else 7
            )
    x_label = "steps back from the loss (the loss is at the right edge)"
    shared_x_label(figure, x_label, left=LEFT, right=RIGHT, y=0.07)
    shared_y_label(figure, "log10 ‖dL/dh(T−k)‖ / ‖dL/dh(T)‖", x=0.1, top=TOP, bottom=BOTTOM)
    _legend(figure, _stage_words(rows), ink, int(rows["above"].max()), width, height)
    return figure


def _panel(
    axis: Axes, own: pd.DataFrame, scale: Scale, says: Callable[[str], Mark], *, first: bool
) -> None:
    if own.empty:
        panel_note(axis, "no measured network")
    for (above, stage), line in own.groupby(["above", "stage"], sort=True):
        end = scale.is_end(stage)
        drawn = _line(axis, line, int(above), scale.ink[stage], end, scale.low, scale.high)
        if drawn is not None:
            marked(drawn, says(_words(line, int(above))))
    if scale.odd:
        _odd(axis, own, scale, first=first)


def _deciding(axis: Axes, own: pd.DataFrame, scale: Scale, says: Callable[[str], Mark]) -> None:
    """What is left of a random direction in the whole network, at the first and the last probe."""
    inside = Rectangle((0, scale.low), 1, scale.high - scale.low)
    inside.set_transform(axis.get_yaxis_transform())
    for last, line in own.groupby("last", sort=True):
        line = line.sort_values("lag")
        y = np.clip(line["value"].to_numpy(dtype=float), scale.low - 60, scale.high + 60)
        if not np.isfinite(y).any():
            continue
        style: dict[str, Any] = {
            "linewidth": 1.1,
            "linestyle": "solid" if last else DASHES[2],
            "zorder": 5,
        }
        (drawn,) = axis.plot(line["lag"].to_numpy(dtype=float), y, color=INK, **style)
        drawn.set_clip_path(inside)
        when = "last" if last else "first"
        marked(
            drawn,
            says(
                f"remaining gradient, {when} probe: {number(y[-1], 1)} at lag"
                f" {line['lag'].iloc[-1]}"
            ),
        )


def _ticks(axis: Axes, scale: Scale, *, bottom: bool, left: bool) -> None:
    decades, steps = _decades(scale.low, scale.high), _steps(scale.longest)
    labels = [f"{t:+d}".replace("-", "−") if t else "0" for t in decades]
    axis.set_yticks(decades, labels if left else [])
    axis.set_xticks(steps, [str(k) for k in steps] if bottom else [])
    edge_labels(axis, reverse=True)


def _line(
    axis, line: pd.DataFrame, above: int, colour: str, end: bool, low: float, high: float
) -> Line2D | None:
    """The line of one layer at one stage; None if it is not shown."""
    if above and not end:
        return None
    line = line.sort_values("lag")
    x = line["lag"].to_numpy(dtype=float)
    y = line["log10_mean"].to_numpy(dtype=float)
    # A line is clipped to the classes' range, so that it does not cross the rows beyond.
    inside = Rectangle((0, low), 1, high - low, transform=axis.get_yaxis_transform())
    y = np.clip(y, low - 60, high + 60)  # keeps coordinates in the file small
    if end and not above:
        bands = (
            np.clip(line[name].to_numpy(dtype=float), low - 60, high + 60)
            for name in ("log10_p10", "log10_p90")
        )
        axis.fill_between(x, *bands, color=colour, alpha=0.18, linewidth=0, zorder=2).set_clip_path(
            inside
        )
    style = {
        "linestyle": DASHES[min(above, len(DASHES) - 1)],
        "linewidth": 1.7 if end and not above else 1.0,
        "zorder": 4 if end else 3,
    }
    drawn: Line2D = axis.plot(x, y, color=colour, **style)[0]
    drawn.set_clip_path(inside)
    return drawn


def _words(line: pd.DataFrame, above: int) -> str:
    """What a line shows: its probe, its layer, and where it ends."""
    far = line.loc[line["lag"].idxmax()]
    left = number(far["log10_mean"], 1) if known(far["log10_mean"]) else "no finite value"
    layer = f", {count(above, 'layer')} below the top" if above else ""
    at = f"update {line['update'].median():,.0f}{layer}"
    return (
        f"{at}, {left} powers of ten {int(far['lag'])} steps back,"
        f" {count(int(far['points']), 'network')}"
    )


def _shade(axis, limits: Mapping[str, float], low: float, high: float, last: bool) -> None:
    bands = (
        ("exploding", limits["exploding"], high),
        ("carrying", limits["fading"], limits["exploding"]),
        ("fading", limits["vanishing"], limits["fading"]),
        ("vanishing", low, limits["vanishing"]),
    )
    for word, start, end in bands:
        start, end = max(start, low), min(end, high)
        if end <= start:
            continue
        if word in CLASSES:
            axis.axhspan(start, end, color=CLASSES[word], alpha=0.1, linewidth=0, zorder=0)
        if last and end - start > 0.055 * (high - low):
            place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            axis.annotate(
                word,
                (1, (start + end) / 2),
                xytext=(5, 0),
                va="center",
                fontsize=7.5,
                color=SOFT,
                **place,
            )


def _odd(axis: Axes, own: pd.DataFrame, scale: Scale, *, first: bool) -> None:
    """Rows above and below the axis for values without a logarithm."""
    strip = STRIP * (scale.high - scale.low)
    rows = (("zero", scale.low - strip, "0"), ("bad", scale.high + strip, "Inf, NaN"))
    for column, y, word in rows:
        axis.axhspan(y - strip / 2, y + strip / 2, color=SOFT, alpha=0.12, linewidth=0)
        for stage, line in own[own[column] > scale.counted].groupby("stage"):
            axis.plot(
                line["lag"],
                np.full(len(line), y),
                "|",
                color=scale.ink[stage],
                markersize=3.5,
                markeredgewidth=1,
                zorder=5,
            )
        if first:
            axis.annotate(
                word,
                (-0.02, y),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="center",
                fontsize=6.5,
                color=SOFT,
            )


def _decades(low: float, high: float) -> list[int]:
    step = max(2, 2 * math.ceil((high - low) / 12))
    return list(range(-(int(-low) // step) * step, int(high) + 1, step))


def _steps(longest: float) -> list[int]:
    step = next(
        step for step in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 10**6) if longest / step <= 4
    )
    return list(range(0, int(longest) + 1, step))


def _stage_words(rows: pd.DataFrame) -> tuple[str, dict[float, str]]:
    """The title and names of the stages: updates, or shares of the run if runs differ in length.

    Runs that only end at different updates are probed at the same ones before.
    """
    by = rows.groupby("stage")["update"]
    updates, alike = by.median(), by.nunique() <= 1
    if alike.iloc[:-1].all():
        words = {stage: f"{update:,.0f}" for stage, update in updates.items()}
        return "update", words if alike.iloc[-1] else words | {updates.index[-1]: "end"}
    shares = updates / updates.iloc[-1]
    return "of the run", {stage: f"{100 * share:.0f} %" for stage, share in shares.items()}


def _legend(
    figure: Figure,
    stages: tuple[str, dict[float, str]],
    ink: Mapping[float, str],
    deepest: int,
    width: float,
    height: float,
) -> None:
    """Colours of the stages, and line styles of the layers."""
    bar = figure.add_axes((1.3 / width, 1 - 0.34 / height, (width - 2.0) / width, 0.3 / height))
    bar.set(xlim=(0, width - 2.0), ylim=(0, 1))
    bar.axis("off")
    bar.text(0, 0.5, stages[0], fontsize=8, va="center", color=SOFT)
    x = 0.12 + 0.063 * len(stages[0])
    for stage, word in stages[1].items():
        bar.plot([x, x + 0.22], [0.5, 0.5], color=ink[stage], linewidth=2.2, solid_capstyle="butt")
        bar.text(x + 0.27, 0.5, word, fontsize=8, va="center")
        x += 0.42 + 0.068 * len(word)
    x += 0.25
    for word, dash in (("decides the verdict: first", DASHES[2]), ("last", "solid")):
        bar.plot([x, x + 0.3], [0.5, 0.5], color=INK, linewidth=1.3, linestyle=dash)
        bar.text(x + 0.36, 0.5, word, fontsize=8, va="center")
        x += 0.5 + 0.064 * len(word)
    x += 0.15
    words = ["top layer", "layer below", *(f"{n} below" for n in range(2, deepest + 1))][
        : deepest + 1
    ]
    for above, word in enumerate(words if deepest else []):
        bar.plot(
            [x, x + 0.34],
            [0.5, 0.5],
            color=SOFT,
            linewidth=1.3,
            linestyle=DASHES[min(above, len(DASHES) - 1)],
        )
        bar.text(x + 0.4, 0.5, word, fontsize=8, va="center")
        x += 0.6 + 0.066 * len(word)
