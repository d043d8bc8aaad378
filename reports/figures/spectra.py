"""Lyapunov spectra: the exponents of the recurrence from the largest to the smallest, before and
after training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reports.figures.theme import SOFT, edge_labels, panels, sequence


def lyapunov_spectra(
    rows: pd.DataFrame,
    row_key: str,
    row_levels: Sequence[str],
    column_key: str,
    column_levels: Sequence[str],
    names: tuple[Sequence[str], Sequence[str]],
    *,
    forgets: float | None,
    floor: float,
    width: float,
) -> Figure:
    """`rows` as dynamics.spectra makes them; `forgets`: the exponent below which a hundredth is
    left at the judged lag; none below `floor` is drawn.
    """
    values = rows["value"].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    low = max(min([*values, forgets or 0.0, -0.1]), floor)
    high = max([*values, 0.1])
    pad = 0.06 * (high - low)
    top, bottom, left, right = 0.62, 0.48, 1.3, 0.72
    height = top + bottom + 1.2 * len(row_levels)
    figure, axes = panels(
        len(row_levels),
        len(column_levels),
        width=width,
        height=height,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        gap=(0.12, 0.14),
    )
    ink = sequence(2)
    for i, row in enumerate(row_levels):
        for j, column in enumerate(column_levels):
            axis = axes[i, j]
            axis.set(xlim=(0, 1), ylim=(low - pad, high + pad))
            axis.axhline(0, color=SOFT, linewidth=0.8, zorder=1)
            if forgets is not None:
                axis.axhline(forgets, color=SOFT, linewidth=0.8, dashes=(3, 2), zorder=1)
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
            for end, line in own.groupby("end", sort=True):
                y = line["value"].to_numpy(dtype=float)
                axis.plot(
                    line["share"],
                    np.where(np.isfinite(y), y, low - 2 * pad),
                    color=ink[int(end)],
                    linewidth=1.5,
                    zorder=3 + int(end),
                )
            axis.set_xticks(
                [0, 0.5, 1], ["largest", "", "smallest"] if i == len(row_levels) - 1 else []
            )
            edge_labels(axis)
            if j:
                axis.tick_params(labelleft=False)
            else:
                axis.text(
                    -0.58 / (axis.get_position().width * width),
                    0.5,
                    names[0][i],
                    transform=axis.transAxes,
                    ha="right",
                    va="center",
                    fontsize=8.5,
                )
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
    figure.text(
        0.5 * (left + width - right) / width,
        0.05 / height,
        "exponents of all layers, sorted",
        ha="center",
        va="bottom",
        fontsize=8.5,
    )
    figure.text(
        0.1 / width,
        (bottom + (height - top)) / 2 / height,
        "λ, nats a step",
        rotation=90,
        ha="center",
        va="center",
        fontsize=8.5,
    )
    _legend(figure, ink, width, height, forgets is not None)
    return figure


def _legend(figure: Figure, ink: Sequence[str], width: float, height: float, limit: bool) -> None:
    bar = figure.add_axes((1.3 / width, 1 - 0.34 / height, (width - 2.0) / width, 0.3 / height))
    bar.set(xlim=(0, width - 2.0), ylim=(0, 1))
    bar.axis("off")
    x = 0.0
    for colour, word in zip(ink, ("first probe", "last probe"), strict=True):
        bar.plot([x, x + 0.26], [0.5, 0.5], color=colour, linewidth=2)
        bar.text(x + 0.32, 0.5, word, fontsize=8, va="center")
        x += 1.25
    if limit:
        bar.plot([x, x + 0.3], [0.5, 0.5], color=SOFT, linewidth=0.9, linestyle=(0, (3, 2)))
        bar.text(x + 0.36, 0.5, "1 % left at the judged lag", fontsize=8, va="center")
