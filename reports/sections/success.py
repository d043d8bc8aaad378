"""Gradient health against the score, among networks of the same structure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.analysis.arms import worst_words
from reports.analysis.associations import words
from reports.analysis.marks import point_marks
from reports.analysis.structures import Structure, structure_keys, structures, structures_words
from reports.blocks import Cell, Figure, Rows, Section, Table
from reports.data.study import UNKNOWN, Study
from reports.figures.hues import hue_of
from reports.figures.marks import marked
from reports.figures.theme import (
    SOFT,
    draw,
    legend,
    markers,
    panels,
    shared_x_label,
    shared_y_label,
)
from reports.formatting import count, known, level, levels, listing, number, score_number, shorten
from study.design.outcomes import solved_at_end

WIDTH = 10.0
ACROSS = 5  # panels in a row
LINEAR = 4.0  # decades: linear up to here, where the classes lie, and logarithmic beyond
LOST = "#c04848"
TICKS = (-256, -64, -16, -8, -4, -3, -2, -1, 0)


HOW = (
    "A mark is one network. Across: its [gradient health] at the end of training (0 carries; −2"
    " means that a hundredth is left); up: its score on test data. Where gradient health decides"
    " success, marks rise from left to right. Filled marks solved the task at the last validation."
)


class Success:
    title = "Does gradient health go with success?"
    needs = ("D", "U", "score")

    def render(self, study: Study) -> Section:
        found = structures(study)
        if sum(one.n for one in found) < 2:
            return Section([])
        shapes = study.matrix_factors[1]
        picture = draw(
            lambda rasterized: drawing(study, found, shapes, rasterized=rasterized), name="success"
        )
        keys = structure_keys(study)
        finding = structures_words(study) or (
            "Whether a better gradient health goes with a better score cannot be determined here:"
            " too few networks are alike in structure."
        )
        apart = f", a panel per {' and '.join(keys)}" if keys else ""
        lost = int(sum(one.points["lost"].sum() for one in found))
        caption = (
            f"One mark per network ({count(sum(one.n for one in found), 'network')}){apart}; shape:"
            f" {shapes}; filled: solved at the end. ρ: rank correlation of gradient health with"
            f" test {study.metric}, with a 95 % interval over recipes that holds for all panels at"
            " once." + (f" ✕: lost, at {worst_words(study)}." if lost else "")
        )
        return Section(
            [
                Figure(
                    picture,
                    caption,
                    f"Gradient health against test {study.metric} of"
                    f" {count(sum(one.n for one in found), 'network')}. {finding}",
                    _table(study, found, keys),
                    10.0,
                    finding,
                    HOW,
                )
            ]
        )


def _table(study: Study, found: list[Structure], keys: list[str]) -> Table:
    rows: Rows = [
        [
            levels(one.labels) or "all",
            Cell(words(one.rho, apart=0.0), one.rho.value if known(one.rho.value) else None),
            f"{one.solved} of {one.n}",
        ]
        for one in found
    ]
    return Table(
        [
            listing(keys) or "networks",
            f"rank correlation of gradient health with test {study.metric}",
            "solved at the end",
        ],
        rows,
        "Gradient health against success, by structure",
    )


def drawing(study: Study, found: Sequence[Structure], shapes: str, *, rasterized: bool) -> Drawing:
    """`shapes`: the factor that the shape of a mark stands for. Hue is the cell."""
    found, across = _in_columns(found)
    down = math.ceil(len(found) / across)
    names = [name for name in study.levels(shapes) if name != UNKNOWN]
    keyed = len(names) > 1
    top = 0.68 if keyed else 0.42
    figure, axes = panels(
        down,
        across,
        width=WIDTH,
        height=top + 0.55 + 1.75 * down + 0.56 * (down - 1),
        left=0.72,
        right=0.12,
        top=top,
        bottom=0.55,
        gap=(0.14, 0.56),
    )
    shape = markers(names)
    xs = np.concatenate([one.points["health"].to_numpy(dtype=float) for one in found])
    ys = np.concatenate([one.points["counted"].to_numpy(dtype=float) for one in found])
    lowest = min(float(xs.min()), -1.0)
    pad = 0.06 * (float(ys.max() - ys.min()) or 1)
    ticks = [tick for tick in TICKS if tick >= 1.1 * lowest and (tick != -8 or lowest > -24)]
    if lowest < -6:
        ticks = [tick for tick in ticks if tick not in (-1, -3)]
    for at, one in enumerate(found):
        axis = axes[at // across, at % across]
        _marks(study, axis, one, shapes, shape, hue_of(study.factors, one.labels), rasterized)
        axis.set_xscale("symlog", linthresh=LINEAR)
        axis.set_xticks(ticks, [f"{tick}".replace("-", "−") for tick in ticks])
        axis.minorticks_off()
        axis.set(xlim=(1.12 * lowest, 0.35), ylim=(float(ys.min()) - pad, float(ys.max()) + pad))
        name = shorten(levels(one.labels), 40) if one.labels else "all networks"
        said = f"ρ {words(one.rho, apart=0.0)}, solved {one.solved} of {one.n}"
        axis.set_title(f"{name}\n{said}", fontsize=7.5)
        if at % across:
            axis.tick_params(labelleft=False)
    for spare in range(len(found), across * down):
        axes[spare // across, spare % across].set_visible(False)
    shared_y_label(figure, f"test {study.metric}", x=0.13, top=top, bottom=0.55)
    beyond = f" (log scale beyond −{LINEAR:g})" if lowest < -LINEAR else ""
    shared_x_label(
        figure,
        f"gradient health at the end, powers of ten; 0 carries{beyond}",
        left=0.72,
        right=0.12,
    )
    if keyed:
        entries = [
            (
                level(shapes, name),
                {
                    "marker": shape[name],
                    "linestyle": "none",
                    "color": SOFT,
                    "markersize": 5,
                    "markevery": [1],
                },
            )
            for name in names
        ]
        legend(figure, entries, left=0.72)
    return figure


def _in_columns(found: Sequence[Structure]) -> tuple[list[Structure], int]:
    """Panels row by row, and how many stand in a row: of two factors, the first goes across."""
    keys = list(found[0].labels)
    if len(keys) == 2:
        columns, rows = (list(dict.fromkeys(one.labels[key] for one in found)) for key in keys)
        if len(columns) <= ACROSS and len(columns) * len(rows) == len(found):
            order = {(row, column): one for one in found for column, row in [one.labels.values()]}
            return [order[row, column] for row in rows for column in columns], len(columns)
    return list(found), min(ACROSS, len(found))


def _marks(
    study: Study,
    axis: Axes,
    one: Structure,
    key: str,
    shape: dict[str, str],
    colour: str,
    rasterized: bool,
) -> None:
    """A mark per network: filled if solved at the end, hollow if not, a cross if lost."""
    points = one.points
    solved, lost = solved_at_end(points), points["lost"].astype(bool)
    of_shape = {name: points[key].eq(name) for name in shape} or {"": points["lost"].notna()}
    for name, here in of_shape.items():
        for filled in (False, True):
            own = points[here & (solved == filled) & ~lost]
            if len(own):
                drawn = axis.plot(
                    own["health"],
                    own["counted"],
                    shape.get(name, "o"),
                    color=colour,
                    markerfacecolor=colour if filled else "none",
                    markersize=4.4,
                    markeredgewidth=0.9,
                    alpha=0.9,
                    linestyle="none",
                    rasterized=rasterized,
                )
                marked(drawn[0], *point_marks(study, own, _texts(study, own)))
    own = points[lost]
    if len(own):
        drawn = axis.plot(
            own["health"],
            own["counted"],
            "x",
            color=LOST,
            markersize=4.6,
            markeredgewidth=1.2,
            linestyle="none",
            rasterized=rasterized,
        )
        marked(drawn[0], *point_marks(study, own, [f"{text}, lost" for text in _texts(study, own)]))


def _texts(study: Study, points: pd.DataFrame) -> list[str]:
    return [
        f"gradient health {number(health, 1)}, test {study.metric} {score_number(score, 3)}"
        for health, score in zip(points["health"], points["counted"], strict=True)
    ]
