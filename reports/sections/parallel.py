"""Parallel coordinates: a line an arm, from its levels over its gradient to its score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.analysis.arms import score_words, summary, with_counted
from reports.analysis.marks import arm_mark
from reports.blocks import Cell, Figure, Heading, Rows, Section, Table
from reports.data.study import Study
from reports.figures.marks import marked
from reports.figures.theme import PAPER, SOFT, colours, draw, panels
from reports.formatting import count, known, level, number, score_number, short_name, shorten, slug

WIDTH = 10.0
ROOM = 0.62  # of the distance between two levels, over which their lines are spread
BEST = 4  # the best quarter, in the finding
HOW = (
    "One line is one [recipe]. Follow it from the left through its levels to the [remaining"
    " gradient] at the end and to"
    " its mean test score. Lines of a level stand in the order of their scores. Where the lines"
    " that end high come from one level, that level goes with success; where lines cross between"
    " these two axes"
    ", how much of the gradient is left does not decide. With the mouse, drag along one"
    " of these two axes, or write limits below the figure, to keep some lines."
)


class Parallel:
    """`arms`: most lines of a figure; `tasks`: most figures."""

    title = "From levels to gradient and score"
    needs = ("score", "D")

    def __init__(self, *, arms: int, tasks: int) -> None:
        self.arms, self.tasks = arms, tasks

    def render(self, study: Study) -> Section:
        found = _arms(study)
        if len(study.factors) < 2 or len(study.problems) > self.tasks:
            return Section([])
        blocks: list[object] = []
        for problem in study.problems:
            own = problem.of(found)
            if not 2 < len(own) <= self.arms:
                continue
            blocks += [Heading(problem.name)] if problem.name else []
            blocks.append(_figure(study, own, problem.name))
        return Section(blocks)


def _arms(study: Study) -> pd.DataFrame:
    """Arms with a mean D at the end and a mean score."""
    D = with_counted(study).groupby("arm")["D"].mean()
    arms = summary(study)
    arms["D"] = arms["arm"].map(D).astype(float)
    arms["mean"] = [one.value for one in arms["score"]]
    return arms[np.isfinite(arms["D"]) & np.isfinite(arms["mean"])]


def _figure(study: Study, found: pd.DataFrame, task: str) -> Figure:
    finding = _finding(study, found)
    picture = draw(
        lambda rasterized: _drawing(study, found, rasterized),
        name=f"parallel-{slug(task)}" if task else "parallel",
    )
    colour = study.panel_factors[0]
    caption = (
        f"One line per recipe (n = {len(found)}); colour: {short_name(colour)}. Means over seeds:"
        f" remaining gradient at the end, in powers of ten, and test {study.metric}."
    )
    return Figure(
        picture,
        caption,
        f"From levels to gradient and score. {finding}",
        _table(study, found),
        WIDTH,
        finding,
        HOW,
    )


def _finding(study: Study, found: pd.DataFrame) -> str:
    """What the best quarter of the arms have in common."""
    order = found.sort_values("mean", ascending=not study.higher_is_better, kind="stable")
    best = order.head(max(2, len(order) // BEST))
    shared = [
        (times, level(key, name))
        for key in study.same_problem
        for name, times in [Counter(best[key]).most_common(1)[0]]
        if times > len(best) * max(0.5, float((found[key] == name).mean()))
    ]
    said = [f"{times} have {name}" for times, name in sorted(shared, key=lambda one: -one[0])]
    start = f"Of the {len(best)} recipes with the best mean score"
    return f"{start}, {', '.join(said[:3])}." if said else f"{start}, most share no level."


def _drawing(study: Study, found: pd.DataFrame, rasterized: bool) -> Drawing:
    keys = study.same_problem
    figure, axes = panels(
        1, 1, width=WIDTH, height=3.6, left=0.5, right=0.7, top=0.4, bottom=0.25, gap=(0, 0)
    )
    axis, cell = axes[0, 0], study.panel_factors[0]
    ink = colours(study.levels(cell))
    rank = found["mean"].rank(method="first", ascending=study.higher_is_better)
    places = [_spread(found, key, study.levels(key), rank) for key in keys]
    places += [_scaled(found[name]) for name in ("D", "mean")]
    for n, (_, arm) in enumerate(found.iterrows()):
        line = axis.plot(
            range(len(places)),
            [float(place[n]) for place in places],
            color=ink[str(arm[cell])],
            linewidth=1.1,
            alpha=0.7,
            rasterized=rasterized,
        )
        text = (
            f"remaining gradient {number(arm['D'], 1)}, mean test {study.metric}"
            f" {score_number(arm['mean'], 3)}"
        )
        marked(line[0], arm_mark(study, arm["arm"], text))
    _axes(study, axis, found, keys)
    return figure


def _spread(found: pd.DataFrame, key: str, names: Sequence[str], rank: pd.Series) -> np.ndarray:
    """Heights on a factor's axis: its levels from the top down, lines of a level by their score."""
    at = found[key].map({name: n for n, name in enumerate(names)}).astype(float)
    within = rank.groupby(found[key]).rank(pct=True) - 0.5
    return np.asarray(1 - (at + 0.5 - ROOM * within) / len(names), dtype=float)


def _scaled(values: pd.Series) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / (high - low) if high > low else values * 0 + 0.5)


def _axes(study: Study, axis: Axes, found: pd.DataFrame, keys: Sequence[str]) -> None:
    """Vertical axes with names, levels and numbers."""
    box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
    small: dict[str, Any] = {"fontsize": 7.5, "va": "center", "bbox": box, "zorder": 5}
    names = [*map(short_name, keys), "remaining gradient", f"test {study.metric}"]
    for x, name in enumerate(names):
        axis.axvline(x, color=SOFT, linewidth=0.7, zorder=0)
        axis.text(x, 1.07, shorten(name, 24), ha="center", va="bottom", fontsize=8.5)
    for x, key in enumerate(keys):
        levels = study.levels(key)
        for n, name in enumerate(levels):
            axis.text(x, 1 - (n + 0.5) / len(levels), shorten(name, 18), ha="center", **small)
    for x, (column, digits) in enumerate((("D", 1), ("mean", 3)), start=len(keys)):
        low, high = float(found[column].min()), float(found[column].max())
        for share in (0.0, 0.5, 1.0):
            value = low + share * (high - low)
            said = number(value, 1) if digits == 1 else score_number(value, 3)
            axis.text(x + 0.04, share, said, ha="left", **small)
    axis.set(xlim=(-0.35, len(names) - 0.75), ylim=(-0.04, 1.04), xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def _table(study: Study, found: pd.DataFrame) -> Table:
    rows: Rows = [
        [
            arm["label"],
            Cell(number(arm["D"], 1), float(arm["D"])),
            Cell(score_words(arm["score"]), arm["mean"] if known(arm["mean"]) else None),
            Cell(f"{arm['lost']}/{arm['n']}", float(arm["lost"] / max(arm["n"], 1))),
        ]
        for _, arm in found.iterrows()
    ]
    title = f"Levels, gradient and score of {count(len(found), 'recipe')}"
    heads = [
        "recipe",
        "remaining gradient at the end (powers of ten)",
        f"mean test {study.metric}",
        "lost",
    ]
    return Table(heads, rows, title, filtered=True)
