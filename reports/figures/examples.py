"""Single examples: strips of colour along the steps, and gates as lines."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from reports.figures.marks import Mark, marked
from reports.figures.opening_maps import BAD, ZERO, swatches
from reports.figures.theme import (
    DASHES,
    SLOTS,
    SOFT,
    edge_labels,
    panels,
    row_title,
    shared_x_label,
    transport_map,
)
from reports.formatting import number

Array = np.ndarray
STRIP, TOP = 0.2, 0.78  # inches: height of a strip, and of the scale above the panels


def colours_of(values: Array, low: float, high: float) -> Array:
    """RGBA [rows, steps, 4] of decades; grey where exactly 0 (−∞), magenta where not finite."""
    rgba = transport_map(low, high)(
        (np.clip(np.nan_to_num(values, nan=low, neginf=low, posinf=high), low, high) - low)
        / (high - low)
    )
    rgba[np.isneginf(values)] = to_rgba(ZERO)
    rgba[np.isnan(values)] = to_rgba(BAD)
    return rgba


def strips(
    values: Mapping[tuple[int, int], Array],
    lengths: Sequence[int],
    inputs: Sequence[Array | None],
    rows: Sequence[str],
    ends: Sequence[str],
    *,
    low: float,
    high: float,
    title: str,
    width: float,
    shows: Mark,
) -> Figure:
    """Draw values[example, end] [rows, T], in decades, as strips of colour.

    `inputs[example]` [T] stands above its panels; `ends` names the probes from top to bottom.
    """
    left = min(0.4 + 0.066 * max(map(len, rows)), 3.0)
    each = 0.1 + STRIP * len(rows)
    height = TOP + 0.55 + each * len(ends) + 0.22 * len(ends) + 0.45
    figure, axes = panels(
        1 + len(ends),
        len(lengths),
        width=width,
        height=height,
        left=left,
        right=0.2,
        top=TOP,
        bottom=0.45,
        gap=(0.16, 0.2),
    )
    _set_heights(axes, [0.34, *[each] * len(ends)], height)
    for i, j in itertools.product(range(1 + len(ends)), range(len(lengths))):
        axis = axes[i, j]
        axis.set_xlim(0.5, lengths[j] + 0.5)
        if i == 0:
            _input(axis, inputs[j], f"example {j + 1}", first=j == 0)
            continue
        colours = colours_of(values[j, i - 1], low, high)
        image = _strip(axis, colours, lengths[j], rows if j == 0 else [], len(rows))
        marked(image, replace(shows, text=f"example {j + 1}, {ends[i - 1]}: {shows.text}"))
        _steps(axis, lengths[j], shown=i == len(ends))
        if j == 0 and len(ends) > 1:
            place = {"transform": axis.transAxes, "va": "bottom"}
            axis.text(0, 1.02, ends[i - 1], fontsize=7.5, color=SOFT, **place)
    shared_x_label(figure, "step of the sequence", left=left, right=0.2, y=0.04)
    _scale(figure, low, high, title, left)
    return figure


def _set_heights(axes: Array, heights: Sequence[float], total: float) -> None:
    """Give each row of axes its share of the room between the scale and the x label."""
    gaps = 0.2 * (len(heights) - 1)
    room, at = total - TOP - 0.45 - gaps, total - TOP
    for row, part in zip(axes, heights, strict=True):
        part = part / sum(heights) * room
        at -= part
        for axis in row:
            where = axis.get_position()
            axis.set_position((where.x0, at / total, where.width, part / total))
        at -= 0.2


def _strip(axis: Axes, colours: Array, length: int, names: Sequence[str], n: int) -> AxesImage:
    """One panel: n strips of colour over the steps, with their names at the left."""
    image = axis.imshow(
        colours,
        extent=(0.5, length + 0.5, n - 0.5, -0.5),
        aspect="auto",
        interpolation="none",
        zorder=1,
    )
    axis.set_yticks(range(n), names)
    axis.tick_params(axis="y", length=0)
    for y in range(1, n):
        axis.axhline(y - 0.5, color="#ffffff", linewidth=0.6, alpha=0.7, zorder=2)
    axis.spines[:].set_visible(False)
    return image


def _input(axis, distance: Array | None, name: str, *, first: bool) -> None:
    axis.set(yticks=[], xticks=[])
    axis.spines[:].set_visible(False)
    axis.text(0, 1.04, name, transform=axis.transAxes, fontsize=8.5, va="bottom")
    if distance is None:
        return
    top = float(np.nanmax(distance)) or 1.0
    axis.fill_between(
        np.arange(1, len(distance) + 1),
        distance / top,
        step="mid",
        color=SOFT,
        alpha=0.55,
        linewidth=0,
    )
    axis.set_ylim(0, 1.05)
    if first:
        axis.set_yticks([0.5], ["input"])
        axis.tick_params(axis="y", length=0)


def _steps(axis, length: int, *, shown: bool) -> None:
    ticks = sorted({1, round(length / 2), length}) if length > 3 else list(range(1, length + 1))
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks] if shown else [])
    edge_labels(axis)


def _scale(figure: Figure, low: float, high: float, title: str, left: float) -> None:
    width, height = figure.get_size_inches()
    bar = figure.add_axes((left / width, 1 - 0.36 / height, 2.6 / width, 0.13 / height))
    top = min(high, 0.0) if title.startswith("‖") else high
    bar.imshow(
        transport_map(low, high)((np.linspace(low, top, 200) - low) / (high - low))[None],
        extent=(low, top, 0, 1),
        aspect="auto",
        interpolation="none",
    )
    ticks = np.arange(low, top + 0.1, max(1, round((top - low) / 4)))
    bar.set_xticks(
        ticks,
        [
            f"≤ −{-tick:g}" if tick == low else f"{tick:+g}".replace("-", "−") if tick else "0"
            for tick in ticks
        ],
    )
    bar.set_yticks([])
    bar.tick_params(length=2, pad=1.5)
    bar.spines[:].set_visible(False)
    bar.set_title(title, loc="left", fontsize=8, pad=3)
    swatches(figure, left + 2.95)


def gate_lines(
    lines: Mapping[tuple[int, int], Mapping[tuple[str, int], tuple[Array, Array, Array]]],
    rows: Sequence[str],
    lengths: Sequence[int],
    gates: Sequence[str],
    *,
    width: float,
    shows: Sequence[Mark],
) -> Figure:
    """Draw lines[row, example][gate, end] = (mean, low, high) [T] of gates over the steps.

    The last probe is solid with its band, the first one dashed. `shows`: what each row is of.
    """
    top, left, right = 0.5, 1.1, 0.6
    figure, axes = panels(
        len(rows),
        len(lengths),
        width=width,
        height=top + 0.5 + 1.35 * len(rows),
        left=left,
        right=right,
        top=top,
        bottom=0.5,
        gap=(0.16, 0.16),
    )
    ink = {gate: SLOTS[number % len(SLOTS)] for number, gate in enumerate(gates)}
    for i, j in itertools.product(range(len(rows)), range(len(lengths))):
        axis = axes[i, j]
        ends = _gates(axis, lines.get((i, j), {}), ink, shows[i])
        axis.set(xlim=(1, max(lengths[j], 2)), ylim=(-0.02, 1.02))
        axis.set_yticks([0, 0.5, 1], ["0", ".5", "1"] if j == 0 else [])
        _steps(axis, lengths[j], shown=i == len(rows) - 1)
        if j == len(lengths) - 1:
            _named(axis, ends, ink)
        if i == 0:
            place = {"transform": axis.transAxes, "va": "bottom"}
            axis.text(0, 1.05, f"example {j + 1}", fontsize=8.5, **place)
        if j == 0:
            row_title(axis, rows[i], away=0.36, width=width)
    shared_x_label(figure, "step of the sequence", left=left, right=right, y=0.04)
    figure.text(
        left / width,
        1 - 0.06 / figure.get_figheight(),
        "solid, with the band over units: last probe · dashed: first probe",
        ha="left",
        va="top",
        fontsize=8,
        color=SOFT,
    )
    return figure


def _gates(
    axis: Axes,
    own: Mapping[tuple[str, int], tuple[Array, Array, Array]],
    ink: Mapping[str, str],
    shows: Mark,
) -> list[tuple[float, str]]:
    """Draw the gates of one panel; where each ends at the last probe, and its name."""
    last = max((end for _, end in own), default=0)
    ends: list[tuple[float, str]] = []
    for (gate, end), (mean, low, high) in own.items():
        x = np.arange(1, len(mean) + 1)
        line = axis.plot(
            x,
            mean,
            color=ink[gate],
            linestyle="solid" if end == last else DASHES[1],
            linewidth=1.4 if end == last else 0.9,
        )
        probe = "last" if end == last else "first"
        text = f"{shows.text}: {gate}, {probe} probe, {number(float(np.nanmean(mean)))} on average"
        marked(line[0], replace(shows, text=text))
        if end == last:
            if np.isfinite(low).any():
                axis.fill_between(x, low, high, color=ink[gate], alpha=0.14, linewidth=0)
            ends.append((float(mean[-1]), gate))
    return ends


def _named(axis, ends: Sequence[tuple[float, str]], ink: Mapping[str, str]) -> None:
    """Names of the gates at the right edge, without overlap."""
    at = -1.0
    for value, gate in sorted(ends):
        at = max(value, at + 0.15)
        axis.annotate(
            gate,
            (1.02, min(at, 1.1)),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            color=ink[gate],
        )
