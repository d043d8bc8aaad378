"""Drawings of the effects: bars of shares of variance, lines of means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.figures.marks import Mark, marked
from reports.figures.theme import INK, SOFT, markers, named_marks, panels
from reports.formatting import known, level, levels, percent, shorten
from reports.statistics.variance_shares import Share, Shares

WIDTH = 10.0
SEEDS = "seeds within recipes"
SEEDS_ALPHA = 0.12
# panel, line, x, text, mean (an Estimate), runs, and what is shown: `shows`, and `each` run
Drawn = Mapping[str, Any]


def bars_of_shares(found: Mapping[str, Shares], order: Sequence[str]) -> Drawing:
    """One panel a measure, a bar a term of `order`; SEEDS is the spread over seeds."""
    left = min(3.6, 0.5 + 0.068 * max(map(len, order)))
    figure, axes = panels(
        1,
        len(found),
        width=WIDTH,
        height=0.85 + 0.24 * len(order),
        left=left,
        right=0.3,
        top=0.3,
        bottom=0.5,
        gap=(0.35, 0),
    )
    for j, (text, shares_found) in enumerate(found.items()):
        axis = axes[0, j]
        estimates = {one.name: one.share for one in shares_found.terms} | {
            SEEDS: shares_found.seeds
        }
        terms = {one.name: one for one in shares_found.terms}
        for y, name in enumerate(order):
            one = estimates.get(name)
            if one is None:
                axis.text(0.01, y, "cannot be determined", color=SOFT, fontsize=7, va="center")
                continue
            strength = SEEDS_ALPHA if name == SEEDS else _strength(terms[name])
            bar = axis.barh(y, one.value, height=0.62, color=INK, alpha=strength, linewidth=0)
            marked(bar[0], Mark(f"{name}: {percent(one.value)} of the variance of {text}"))
            axis.plot([one.low, one.high], [y, y], color=INK, linewidth=1.1)
            axis.text(
                min(one.high, 1) + 0.015,
                y,
                percent(one.value),
                fontsize=7.5,
                va="center",
                color=INK,
            )
        axis.set(xlim=(0, 1.12), ylim=(len(order) - 0.5, -0.5), title=text.removeprefix("the "))
        axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        axis.set_yticks(range(len(order)), [shorten(name, 46) for name in order] if j == 0 else [])
        axis.tick_params(axis="y", length=0)
    figure.text(
        (left + WIDTH - 0.3) / 2 / WIDTH,
        0.01,
        "share of variance (ω²)",
        ha="center",
        va="bottom",
        fontsize=8.5,
    )
    return figure


def _strength(one: Share) -> float:
    """How dark: main effects most, then interactions, then what is confounded."""
    return 0.2 if one.confounded else 0.5 if len(one.factors) == 1 else 0.32


def lines_of_means(
    line_key: str,
    x_key: str,
    ink: Mapping[str, str],
    xs: Sequence[str],
    marks: Sequence[Drawn],
    by: Sequence[Mapping[str, str]],
) -> Drawing:
    """One row a measure, one panel a combination of `by`; lines: the levels of `line_key`
    that have an `ink`."""
    texts = list(dict.fromkeys(mark["text"] for mark in marks))
    names = list(ink)
    shape = markers(names)
    long = max(len(level(x_key, x)) for x in xs) * len(xs) * len(by) > 90
    bottom = 0.78 if long else 0.35
    figure, axes = panels(
        len(texts),
        len(by),
        width=WIDTH,
        height=0.45 + bottom + 2.15 * len(texts),
        left=0.75,
        right=1.25,
        top=0.3,
        bottom=bottom,
        gap=(0.15, 0.2),
    )
    for i, text in enumerate(texts):
        of_text = [mark for mark in marks if mark["text"] == text]
        values = [run for mark in of_text for run in mark["runs"]]
        pad = 0.06 * ((max(values) - min(values)) or 1)
        for j, panel in enumerate(by):
            axis = axes[i, j]
            for k, name in enumerate(names):
                shift = (k - (len(names) - 1) / 2) * 0.5 / max(1, len(names))
                own = {
                    mark["x"]: mark
                    for mark in of_text
                    if mark["panel"] == panel and mark["line"] == name
                }
                at = [(xs.index(x) + shift, mark) for x, mark in own.items()]
                _line(axis, at, ink[name], shape[name])
            axis.set(xlim=(-0.5, len(xs) - 0.5), ylim=(min(values) - pad, max(values) + pad))
            labels = [shorten(level(x_key, x), 18) for x in xs] if i == len(texts) - 1 else []
            turned = {"rotation": 30, "ha": "right"} if long and labels else {}
            axis.set_xticks(range(len(xs)), labels, **turned)
            if i == 0 and panel:
                axis.set_title(levels(panel))
            if j:
                axis.tick_params(labelleft=False)
            else:
                axis.set_ylabel(text.removeprefix("the "))
    named_marks(
        figure, [(level(line_key, name), ink[name], shape[name]) for name in names], WIDTH - 1.25
    )
    return figure


def _line(axis: Axes, at: Sequence[tuple[float, Drawn]], colour: str, marker: str) -> None:
    """One line of an interaction plot: means, their intervals, and the runs."""
    axis.plot(
        [x for x, _ in at],
        [mark["mean"].value for _, mark in at],
        color=colour,
        linewidth=1.3,
        alpha=0.85,
        zorder=2,
    )
    for x, mark in at:
        if known(mark["mean"].low):
            bar = axis.plot(
                [x, x],
                [mark["mean"].low, mark["mean"].high],
                color=colour,
                linewidth=3.2,
                alpha=0.3,
                solid_capstyle="butt",
                zorder=1,
            )
            marked(bar[0], mark["shows"])
        dots = axis.plot(
            [x] * len(mark["runs"]),
            mark["runs"],
            "o",
            color=colour,
            markersize=1.9,
            alpha=0.9,
            markeredgewidth=0,
            zorder=2,
        )
        marked(dots[0], *mark["each"])
        mean = axis.plot(
            [x],
            [mark["mean"].value],
            marker,
            color=colour,
            markersize=4.6,
            markeredgewidth=0,
            zorder=3,
        )
        marked(mean[0], mark["shows"])
