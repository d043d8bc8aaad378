"""Credit-opening maps: update × lag, coloured by transport, with the validation loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure

from reports.figures.marks import Mark, marked
from reports.figures.theme import (
    INK,
    SOFT,
    column_title,
    edge_labels,
    panel_note,
    panels,
    row_title,
    shared_x_label,
    shared_y_label,
    transport_map,
)

ZERO, BAD = "#8a8a8a", "#e535c0"
WIDE = 72  # columns of a map; stages are uneven on the log axis
Array = np.ndarray
NOTHING = Mark("")


@dataclass(frozen=True)
class Map:
    """One map: transport [lags, stages] at `updates`, and shares of zero and non-finite examples.

    `loss`: (updates, share of the baseline); `word`: text above the map; `lag`: the judged lag;
    `shows`: what the map is of.
    """

    updates: Array
    values: Array
    zero: Array
    bad: Array
    loss: tuple[Array, Array]
    word: str
    lag: int | None = None
    shows: Mark = NOTHING


def place(update: Array | float) -> Array:
    """Position on the update axis: log10 of updates + 1."""
    return np.log10(np.asarray(update, dtype=float) + 1)


def pixels(one: Map, low: float, high: float) -> tuple[Array, float, float]:
    """RGBA [lags, WIDE, 4], and the left and right end on the update axis.

    Linear in decades between probes. Around a probe without a number, the nearer half shows why.
    """
    x = place(one.updates)
    left, right = (
        (float(x[0]), float(x[-1])) if len(x) > 1 else (float(x[0]) - 0.1, float(x[0]) + 0.1)
    )
    at = np.linspace(left, right, WIDE)
    after = (
        np.clip(np.searchsorted(x, at, side="right"), 1, max(len(x) - 1, 1))
        if len(x) > 1
        else np.zeros(WIDE, dtype=int)
    )
    before = np.maximum(after - 1, 0)
    share = np.divide(
        at - x[before], x[after] - x[before], out=np.zeros(WIDE), where=x[after] > x[before]
    )
    nearest = np.where(share < 0.5, before, after)
    values = (1 - share) * one.values[:, before] + share * one.values[:, after]
    values = np.where(np.isfinite(values), values, one.values[:, nearest])
    rgba = transport_map(low, high)(Normalize(low, high, clip=True)(np.nan_to_num(values, nan=low)))
    rgba[~np.isfinite(values)] = 0.0
    rgba[one.zero[:, nearest] > 0.5] = to_rgba(ZERO)
    rgba[one.bad[:, nearest] > 0.5] = to_rgba(BAD)
    return rgba, left, right


def opening_maps(
    maps: Mapping[tuple[int, int], Map | str],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    low: float,
    high: float,
    width: float,
) -> Figure:
    """Draw all maps on one colour scale and the same axes.

    A text in place of a map is shown in its panel: why there is none.
    """
    known = [one for one in maps.values() if isinstance(one, Map)]
    deepest = max((max(len(one.values), one.lag or 0) for one in known), default=1)
    last = max((float(one.updates[-1]) for one in known), default=1.0)
    longest = max((len(line) for row in rows for line in row.split("\n")), default=0)
    top, bottom, left, right = 1.12, 0.42, max(1.28, 0.55 + 0.068 * longest), 0.5
    figure, axes = panels(
        len(rows),
        len(columns),
        width=width,
        height=top + bottom + 1.06 * len(rows),
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        gap=(0.1, 0.25),
    )
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            axis = axes[i, j]
            one = maps.get((i, j), "not in the grid")
            _set_axes(axis, last, deepest, bottom=i == len(rows) - 1, left=j == 0)
            if isinstance(one, Map):
                _draw(axis, one, low, high)
            else:
                panel_note(axis, one, fontsize=7, wrap=True)
            if i == 0:
                column_title(axis, column, y=1.26)
            if j == 0:
                row_title(axis, row, away=0.36, width=width)
            if j == len(columns) - 1:
                _loss_axis(axis)
    shared_x_label(figure, "update (log scale)", left=left, right=right, y=0.06)
    shared_y_label(figure, "lag (steps back)", x=0.1, top=top, bottom=bottom)
    loss_label = "validation loss / baseline (line)"
    shared_y_label(figure, loss_label, x=width - 0.06, top=top, bottom=bottom, rotation=270)
    _scale(figure, low, high, left)
    return figure


def _set_axes(axis: Axes, last: float, deepest: int, *, bottom: bool, left: bool) -> None:
    """Limits and ticks: the same in all panels, labels at the edge of the figure only."""
    axis.set_xlim(float(place(0)) - 0.02, float(place(last)) + 0.02)
    axis.set_ylim(0.5, deepest * 1.02 + 0.5)
    ticks = [u for u in (0, 10, 100, 1000, 10000, 100000) if u <= 0.2 * last] + [round(last)]
    axis.set_xticks(place(np.array(ticks)), [f"{u:,}" for u in ticks] if bottom else [])
    edge_labels(axis)
    axis.set_yticks(_lags(deepest), [str(k) for k in _lags(deepest)] if left else [])
    axis.tick_params(length=2)


def _lags(deepest: int) -> list[int]:
    return [1, deepest] if deepest < 8 else [1, round(deepest / 2), deepest]


def _draw(axis, one: Map, low: float, high: float) -> None:
    rgba, left, right = pixels(one, low, high)
    image = axis.imshow(
        rgba,
        extent=(left, right, 0.5, len(one.values) + 0.5),
        origin="lower",
        aspect="auto",
        interpolation="none",
        zorder=1,
    )
    marked(image, one.shows)
    halo = [effects.Stroke(linewidth=3.0, foreground="#ffffff", alpha=0.9), effects.Normal()]
    if one.lag is not None:
        axis.plot([left, right], [one.lag] * 2, color="#ffffff", linewidth=1.8, zorder=2)
        axis.plot(
            [left, right], [one.lag] * 2, color="#000000", linewidth=0.8, dashes=(3, 2), zorder=2
        )
    axis.plot(
        place(one.updates),
        np.full(len(one.updates), 0.0),
        "|",
        transform=axis.get_xaxis_transform(),
        color=INK,
        markersize=5,
        markeredgewidth=0.8,
        clip_on=False,
    )
    updates, share = one.loss
    # On a log axis a line from update 0 to the first validation would cross half the map, where
    # nothing was validated.
    for part in (updates == 0, updates > 0):
        if part.any():
            axis.plot(
                place(updates[part]),
                np.clip(share[part], 0, 1.1) / 1.1,
                "o" if part.sum() == 1 else "-",
                transform=axis.get_xaxis_transform(),
                color="#000000",
                linewidth=1.3,
                markersize=2.6,
                path_effects=halo,
                zorder=3,
            )
    axis.text(
        0, 1.03, one.word, transform=axis.transAxes, ha="left", va="bottom", fontsize=7, color=SOFT
    )


def _loss_axis(axis) -> None:
    twin = axis.twinx()
    twin.set_ylim(0, 1.1)
    twin.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
    twin.tick_params(length=2, right=True, labelright=True)
    twin.spines["right"].set_visible(True)


def _scale(figure: Figure, low: float, high: float, left: float) -> None:
    """The colour scale, and the colours of values without a logarithm."""
    width, height = figure.get_size_inches()
    bar = figure.add_axes((left / width, 1 - 0.36 / height, 4.4 / width, 0.13 / height))
    bar.imshow(
        transport_map(low, high)(np.linspace(0, 1, 220))[None],
        extent=(low, high, 0, 1),
        aspect="auto",
        interpolation="none",
    )
    ticks = list(range(int(low), int(high) + 1, 2))
    bar.set_xticks(
        ticks,
        [
            (
                f"≤ −{-low:g}"
                if t == low
                else f"≥ +{high:g}"
                if t == high
                else f"{t:+d}".replace("-", "−")
                if t
                else "0"
            )
            for t in ticks
        ],
    )
    bar.set_yticks([])
    bar.tick_params(length=2, pad=1.5)
    bar.spines[:].set_visible(False)
    bar.set_title("remaining gradient, powers of ten", loc="left", fontsize=8, pad=3)
    swatches(figure, left + 4.75)


def swatches(figure: Figure, x: float) -> None:
    """The colours of values without a logarithm, from x inches on."""
    width, height = figure.get_size_inches()
    for at, colour, word in ((x, ZERO, "exactly 0"), (x + 1.0, BAD, "not finite")):
        swatch = figure.add_axes((at / width, 1 - 0.36 / height, 0.16 / width, 0.13 / height))
        swatch.set_facecolor(colour)
        swatch.set(xticks=[], yticks=[])
        swatch.spines[:].set_visible(False)
        swatch.text(1.35, 0.45, word, transform=swatch.transAxes, va="center", fontsize=8)
