"""Gradient flow: how the gradient of the loss shrinks or grows going back in time, one line a stage
of training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.figures.theme import DASHES, SOFT, edge_labels, panels, sequence
from reports.formatting import shorten

CLASSES = {"exploding": "#c0392b", "fading": "#c9a227", "vanishing": "#44508a"}
STRIP = 0.055  # of an axis: height of the rows for 0 and for Inf or NaN


def gradient_flow(
    rows: pd.DataFrame,
    row_key: str,
    row_levels: Sequence[str],
    column_key: str,
    column_levels: Sequence[str],
    names: tuple[Sequence[str], Sequence[str]],
    *,
    limits: Mapping[str, float],
    lag: int | None,
    span: tuple[float, float],
    counted: float,
    width: float,
) -> Figure:
    """`rows` as profiles.losses makes them.

    `span`: lowest and highest decade shown, the same in every figure of the report.

    All stages for the top layer, the first and the last with their 10-90 % band; lower layers at
    the first and last stage.
    """
    stages = rows.groupby("stage")["update"].median()
    ink = dict(zip(stages.index, sequence(len(stages)), strict=True))
    low, high = span
    longest = float(rows["lag"].max())
    odd = bool(((rows["zero"] > counted) | (rows["bad"] > counted)).any())
    top = 0.66
    height = top + 0.48 + 1.66 * len(row_levels)
    figure, axes = panels(
        len(row_levels),
        len(column_levels),
        width=width,
        height=height,
        left=1.3,
        right=0.72,
        top=top,
        bottom=0.48,
        gap=(0.12, 0.14),
    )
    pad = STRIP * (high - low) * 1.5 if odd else 0.0
    for i, row in enumerate(row_levels):
        for j, column in enumerate(column_levels):
            axis = axes[i, j]
            axis.set(xlim=(longest, 0), ylim=(low - pad, high + pad))
            _shade(axis, limits, low, high, j == len(column_levels) - 1)
            if lag is not None:
                axis.axvline(min(lag, longest), color=SOFT, linewidth=0.9, dashes=(3, 2), zorder=2)
            own = rows[(rows[row_key] == row) & (rows[column_key] == column)]
            if own.empty:
                axis.text(
                    0.5,
                    0.5,
                    "no measured point",
                    transform=axis.transAxes,
                    ha="center",
                    va="center",
                    color=SOFT,
                    fontsize=7.5,
                )
            for (above, stage), line in own.groupby(["above", "stage"], sort=True):
                _line(
                    axis,
                    line,
                    int(above),
                    ink[stage],
                    stage in (stages.index[0], stages.index[-1]),
                    low,
                    high,
                )
            if odd:
                _odd(axis, own, ink, low, high, counted, first=j == 0)
            axis.set_yticks(
                _decades(low, high),
                (
                    [f"{t:+d}".replace("-", "−") if t else "0" for t in _decades(low, high)]
                    if j == 0
                    else []
                ),
            )
            axis.set_xticks(
                _steps(longest),
                [str(k) for k in _steps(longest)] if i == len(row_levels) - 1 else [],
            )
            edge_labels(axis, reverse=True)
            if i == 0:
                axis.text(
                    0.5,
                    1.05,
                    names[1][j],
                    transform=axis.transAxes,
                    ha="center",
                    va="bottom",
                    fontsize=8.5,
                )
            if j == 0:
                axis.text(
                    -0.58 / (axis.get_position().width * width),
                    0.5,
                    shorten(names[0][i], 16),
                    transform=axis.transAxes,
                    ha="right",
                    va="center",
                    fontsize=8.5 if len(names[0][i]) <= 11 else 7,
                )
    figure.text(
        0.5 * (1.3 + width - 0.72) / width,
        0.07 / height,
        "steps back from the loss (the loss is at the right edge)",
        ha="center",
        va="bottom",
        fontsize=8.5,
    )
    figure.text(
        0.1 / width,
        (0.48 + (height - top)) / 2 / height,
        "log10 ‖dL/dh(T−k)‖ / ‖dL/dh(T)‖",
        rotation=90,
        ha="center",
        va="center",
        fontsize=8.5,
    )
    _legend(figure, _stage_words(rows), ink, int(rows["above"].max()), width, height)
    return figure


def _line(
    axis, line: pd.DataFrame, above: int, colour: str, end: bool, low: float, high: float
) -> None:
    if above and not end:
        return
    line = line.sort_values("lag")
    x = line["lag"].to_numpy(dtype=float)
    y = line["log10_mean"].to_numpy(dtype=float)
    # A line ends where it leaves the classes' range: beyond lie the rows of zeros and of what is
    # not finite.
    inside = Rectangle((0, low), 1, high - low, transform=axis.get_yaxis_transform())
    y = np.clip(y, low - 60, high + 60)  # no coordinates of thousands of points in the file
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
    axis.plot(x, y, color=colour, **style)[0].set_clip_path(inside)


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


def _odd(
    axis,
    own: pd.DataFrame,
    ink: Mapping[float, str],
    low: float,
    high: float,
    counted: float,
    *,
    first: bool,
) -> None:
    """Rows of their own for what has no logarithm."""
    strip = STRIP * (high - low)
    for column, y, word in (("zero", low - strip, "0"), ("bad", high + strip, "Inf, NaN")):
        axis.axhspan(y - strip / 2, y + strip / 2, color=SOFT, alpha=0.12, linewidth=0)
        for stage, line in own[own[column] > counted].groupby("stage"):
            axis.plot(
                line["lag"],
                np.full(len(line), y),
                "|",
                color=ink[stage],
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
    """What a stage is called: its update; its share of the run where runs of several lengths stand
    together.
    """
    whole = rows[rows["stage"] == rows["stage"].max()]
    if whole["update"].nunique() <= 1:
        return "update", {
            stage: f"{update:,.0f}"
            for stage, update in rows.groupby("stage")["update"].median().items()
        }
    shares = rows.groupby("stage")["update"].median() / whole["update"].median()
    return "of the run", {stage: f"{100 * share:.0f} %" for stage, share in shares.items()}


def _legend(
    figure: Figure,
    stages: tuple[str, dict[float, str]],
    ink: Mapping[float, str],
    deepest: int,
    width: float,
    height: float,
) -> None:
    """Stages as short strokes with their name; line styles of the layers."""
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
