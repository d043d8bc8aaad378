"""Longest lag solved: how long a task each arm solves, if the task's length is a factor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure as Drawing

from reports.analysis.longest_lag import LongestSolved, TriedLength, length_factor, longest_lags
from reports.analysis.marks import level_mark
from reports.blocks import Cell, Figure, Heading, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.hues import hue_of
from reports.figures.marks import marked
from reports.figures.theme import SOFT, draw, panels
from reports.formatting import count, interval, known, level, levels, percent, slug
from reports.statistics import wilson

HOW = (
    "A row is one recipe ([recipe]), a column one length of the task, a dot one trained network"
    " ([seed]): filled where it solved the task at that length, hollow where it did not within the"
    " budget. The bar ends at the longest length that most seeds solved; one that ends at the"
    " longest length tried may reach beyond it, and a row without a bar solved none. That a network"
    " fails at a length within its updates does not mean that it would never learn it."
)
WIDTH = 10.0
NAMED = 6  # arms in a sentence


class LongestLag:
    """Shown only if a factor sets the length of the task.

    An arm solves a length if more than `share` of its seeds do.
    """

    title = "Longest lag solved"
    needs = ()

    def __init__(self, *, share: float) -> None:
        if not 0 <= share < 1:
            raise ValueError(f"LongestLag: share must be at least 0 and below 1, got {share}")
        self.share = share

    def render(self, study: Study) -> Section:
        key = length_factor(study)
        if key is None:
            return Section([])
        every = longest_lags(study, key, self.share)
        parts = [
            (task, [one for one in every if task is None or one.labels["task"] == task])
            for task in study.by_task
        ]
        parts = [(task, own) for task, own in parts if own]
        blocks: list[object] = [Prose(self._sentence(every))]
        for task, own in parts:
            blocks += [Heading(level("task", task).capitalize())] if task and len(parts) > 1 else []
            blocks.append(_figure(study, task, own))
        return Section(blocks)

    def _sentence(self, every: Sequence[LongestSolved]) -> str:
        some, all_ = (
            sum(one.longest is not None for one in every),
            sum(one.all_tried for one in every),
        )
        rule = (
            f"more than {percent(self.share)} of its seeds did"
            if self.share
            else "any of its seeds did"
        )
        verb = "solves" if some == 1 else "solve"
        sentence = (
            f"{some} of {count(len(every), 'recipe')} {verb} the task at some length; a length"
            f" counts as solved by a recipe where {rule}."
        )
        if all_:
            sentence += (
                f" {all_} of them {'solve' if all_ != 1 else 'solves'} the longest one tried, so"
                " that their limit was not found."
            )
        holes = [
            one
            for one in every
            if one.longest is not None
            and any(
                at.steps < one.longest.steps and at.solved <= self.share * at.n for at in one.tried
            )
        ]
        if holes:
            sentence += (
                f" In {count(len(holes), 'recipe')} a shorter length is not solved while a longer"
                " one is: the limit is not sharp with so few seeds."
            )
        return sentence


def _label(one: LongestSolved) -> str:
    return levels({key: name for key, name in one.labels.items() if key != "task"})


def _of(at: TriedLength) -> str:
    return f"{at.solved} of {at.n}"


def _limit_words(one: LongestSolved) -> str:
    """gru chrono T = 500 (3 of 3; 1 of 3 at 1,000)."""
    shortest = one.tried[0]
    if one.longest is None:
        return f"{_label(one)} none (shortest tried: T = {shortest.steps:,}, {_of(shortest)})"
    if one.all_tried:
        return (
            f"{_label(one)} up to the longest tried, T = {one.longest.steps:,} ({_of(one.longest)})"
        )
    next_tried = one.next_tried
    beyond = f"; {_of(next_tried)} at {next_tried.steps:,}" if next_tried else ""
    return f"{_label(one)} T = {one.longest.steps:,} ({_of(one.longest)}{beyond})"


def _finding(own: Sequence[LongestSolved]) -> str:
    if all(one.longest is None for one in own):
        most = max((at for one in own for at in one.tried), key=lambda at: at.solved / at.n)
        shortest = min(one.tried[0].steps for one in own)
        return (
            f"None of {count(len(own), 'recipe')} solves any length tried, from T = {shortest:,}"
            f" on; the most at one length: {_of(most)} seeds."
        )
    if all(one.all_tried for one in own):
        return (
            f"All {count(len(own), 'recipe')} solve the longest length tried, T ="
            f" {max(one.tried[-1].steps for one in own):,}: no limit was found."
        )
    order = sorted(own, key=lambda one: -one.longest.steps if one.longest else 0)
    more = "; …" if len(order) > NAMED else ""
    return f"Longest length solved: {'; '.join(map(_limit_words, order[:NAMED]))}{more}."


def _figure(study: Study, task: str | None, own: Sequence[LongestSolved]) -> Figure:
    finding = _finding(own)
    picture = draw(
        lambda rasterized: _ladder(study, own),
        name=f"longest-lag-{slug(task)}" if task else "longest-lag",
    )
    pooled = max(at.n for one in own for at in one.tried)
    caption = (
        f"Solved (filled) and unsolved networks at each length T, up to {count(pooled, 'seed')} a"
        " recipe and length; the lengths tried stand at equal distances."
    )
    where = f" on {level('task', task)}" if task else ""
    return Figure(
        picture, caption, f"Longest lag solved{where}. {finding}", _table(own), WIDTH, finding, HOW
    )


def _ladder(study: Study, own: Sequence[LongestSolved]) -> Drawing:
    lengths = sorted({at.steps for one in own for at in one.tried})
    names = [_label(one) for one in own]
    left = min(0.35 + 0.068 * max(map(len, names)), 3.6)
    row = 0.34
    figure, axes = panels(
        1,
        1,
        width=WIDTH,
        height=0.62 + row * len(own),
        left=left,
        right=0.3,
        top=0.1,
        bottom=0.52,
        gap=(0, 0),
    )
    axis = axes[0, 0]
    place = {steps: number for number, steps in enumerate(lengths)}
    for y, one in enumerate(own):
        colour = hue_of(study.factors, one.labels)
        if one.longest is not None:
            axis.plot(
                [-0.5, place[one.longest.steps]],
                [y, y],
                color=colour,
                alpha=0.22,
                linewidth=9,
                solid_capstyle="butt",
                zorder=1,
            )
        for at in one.tried:
            across = (
                np.linspace(-0.09, 0.09, at.n) * min(at.n - 1, 4) / 2 if at.n > 1 else np.zeros(1)
            )
            for number, x in enumerate(across):
                done = number < at.solved
                dot = axis.plot(
                    [place[at.steps] + x],
                    [y],
                    "o",
                    color=colour,
                    markerfacecolor=colour if done else "none",
                    markersize=5,
                    markeredgewidth=0.9,
                    zorder=2,
                )
                text = f"T = {at.steps:,}: {at.solved} of {count(at.n, 'seed')} solved"
                marked(dot[0], level_mark(study, one.labels, text))
    axis.set(
        xlim=(-0.5, len(lengths) - 0.5),
        ylim=(len(own) - 0.5, -0.5),
        xlabel="length T of the sequence (steps)",
    )
    axis.set_xticks(range(len(lengths)), [f"{steps:,}" for steps in lengths])
    axis.set_yticks(range(len(own)), names)
    axis.tick_params(axis="y", length=0)
    for y in range(len(own)):
        axis.axhline(y, color=SOFT, linewidth=0.3, alpha=0.5, zorder=0)
    return figure


def _table(own: Sequence[LongestSolved]) -> Table:
    lengths = sorted({at.steps for one in own for at in one.tried})
    rows: Rows = []
    for one in own:
        at_length = {at.steps: at for at in one.tried}
        best, any_ = one.longest, [at for at in one.tried if at.solved]
        cells: list[Cell | str] = [_label(one)]
        if best is None:
            cells += [
                Cell(f"none (from {one.tried[0].steps:,} on)", 0.0),
                Cell("–", None),
                Cell("–", None),
            ]
        else:
            share = wilson(best.solved, best.n)
            cells += [
                Cell(f"{'≥ ' if one.all_tried else ''}{best.steps:,}", float(best.steps)),
                (
                    Cell(f"{best.lag:,.0f}", best.lag)
                    if known(best.lag)
                    else Cell("not declared", None)
                ),
                Cell(f"{best.solved}/{best.n} {interval(share.low, share.high)}", share.value),
            ]
        cells.append(
            Cell(f"{any_[-1].steps:,} ({any_[-1].solved}/{any_[-1].n})", float(any_[-1].steps))
            if any_
            else Cell("–", None)
        )
        for steps in lengths:
            at = at_length.get(steps)
            cells.append(Cell(f"{at.solved}/{at.n}", at.solved / at.n) if at else Cell("–", None))
        rows.append(cells)
    columns = [
        "recipe",
        "longest T",
        "its lag",
        "solved there, Wilson interval",
        "longest T of any seed",
        *(f"T = {steps:,}" for steps in lengths),
    ]
    notes = (
        f"≥: the longest length tried ({lengths[-1]:,}) is solved. A diverged network counts as"
        " unsolved, a missing one not at all."
    )
    return Table(columns, rows, "Longest length solved by recipe", notes)
