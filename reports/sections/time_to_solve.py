"""Time to solve: the share of networks that have met the task's rule, by update.

Networks that never solved it are censored, not dropped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from reports.analysis.arms import share_over_arms_words, unit_words, wilson_words, with_counted
from reports.analysis.by_problem import MANY
from reports.analysis.marks import level_mark
from reports.analysis.tallies import tally
from reports.blocks import Cell, Figure, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.hues import hues
from reports.figures.marks import marked
from reports.figures.theme import (
    DASHES,
    INK,
    draw,
    edge_labels,
    markers,
    named_marks,
    panels,
    shared_x_label,
    update_ticks,
)
from reports.formatting import count, interval, known, level, listing, number, percent
from reports.statistics import Estimate, wilson
from reports.statistics.survival import (
    mean_over_arms,
    median_time,
    restricted_mean,
    times,
    unsolved,
    unsolved_over_arms,
)

HOW = (
    "A line climbs by a step whenever a network meets the task's rule for the first time; where it"
    " ends is the share that ever did. A line further left solves sooner, a line further up solves"
    " more often. Networks that never did are part of every line: they keep it from reaching"
    " 100 %."
)
WIDTH = 10.0
MOST = 6  # panels
ENOUGH = 4  # arms, or networks of one arm, for a t interval of a time


class TimeToSolve:
    """Kaplan–Meier curves by the first factor, one panel per level of the second; means by arm."""

    title = "Time to solve"
    needs = ("outcome", "updates")

    def render(self, study: Study) -> Section:
        if study.adopted and not study.recorded("solved_at"):
            return Section([])
        points = with_counted(study)
        points = times(points[study.has_rule(points)])
        if points.empty:
            return Section([Prose(f"{study.no_rule}: there is no time to measure.")])
        solved = int(points["solved"].sum())
        if not solved:
            text = (
                f"None of {count(len(points), 'network')} met the task's rule for solved: all that"
                " is known is that each takes longer than the run."
            )
            return Section([Prose(text)])
        if points["planned"].nunique() > 1:
            points = points.assign(time=points["time"] / points["planned"], planned=1.0)
        return Section([Prose(_sentence(study, points)), _figure(study, points)])


def _keys(study: Study) -> tuple[str, str]:
    """Factors of the lines and of the panels; panels are tasks if there are several."""
    return (study.panel_factors[0], "task") if "task" in study.factors else study.panel_factors


def _unit(points: pd.DataFrame) -> str:
    return "share of the run" if float(points["planned"].max()) == 1.0 else "updates"


def _sentence(study: Study, points: pd.DataFrame) -> str:
    until, key = float(points["planned"].max()), study.panel_factors[0]
    limit = f"{number(until, 0)} updates" if until > 1 else "the run"
    found = tally(points)
    sentences = [
        f"{found.ever} of {count(found.n, 'network')} met the task's rule at some time within"
        f" {limit}. At the end {found.solved or 'none'} still did."
    ]
    if key in study.factors:
        parts = _parts(study, points)
        words = [
            f"{f'On {name}: ' if name else ''}{'; '.join(_of_levels(study, own, until))}."
            for name, own in parts
        ]
        few = _few_note([own for _, own in parts], key)
        sentences.append(
            f"By {key} ({_unit(points)}; what never met it counts as the end of the run; 95 %"
            f" interval over {_over(parts, key)}{few}): {' '.join(words)}"
        )
    lost = int((points["status"].eq("diverged") & ~points["solved"]).sum())
    if lost:
        sentences.append(
            f"{count(lost, 'network')} that diverged before meeting it"
            f" {'counts' if lost == 1 else 'count'} as never meeting it."
        )
    return " ".join(sentences)


def _parts(study: Study, points: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The points problem by problem, with its name: levels may have been trained on other ones.

    Many problems are pooled.
    """
    if not 1 < len(study.problems) <= MANY:
        return [("", points)]
    return [(one.name, own) for one in study.problems if len(own := one.of(points))]


def _over(parts: list[tuple[str, pd.DataFrame]], key: str) -> str:
    """What the intervals are over: arms, if any part has a level of several; else networks."""
    return min(unit_words(own, key) for _, own in parts)


def _of_levels(study: Study, points: pd.DataFrame, until: float) -> list[str]:
    """How many of each level met the rule, and when."""
    key, parts = study.panel_factors[0], []
    for name in study.levels(key):
        own = points[points[key] == name]
        if own.empty:
            continue
        mean = _mean_words(mean_over_arms(*_arrays(own), until), own, until) + _few_words(own)
        time = f", mean time {mean}" if own["solved"].any() else ""
        parts.append(f"{level(key, name)} {int(own['solved'].sum()) or 'none'} of {len(own)}{time}")
    return parts


def _arrays(points: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return points["time"].to_numpy(), points["solved"].to_numpy(), points["arm"].to_numpy()


def _figure(study: Study, points: pd.DataFrame) -> Figure:
    line_key, panel_key = _keys(study)
    names, panels_of = study.levels(line_key), study.levels(panel_key)
    if len(panels_of) > MOST or panel_key not in study.factors:
        panels_of = []
    picture = draw(
        lambda rasterized: _curves(study, points, names, panels_of), name="time-to-solve"
    )
    shares_solved = "; ".join(
        (f"on {problem} " if problem else "")
        + listing(
            f"{level(line_key, name)} {share_over_arms_words(own['solved'], own['arm'])}"
            for name in names
            if len(own := part[part[line_key] == name])
        )
        for problem, part in _parts(study, points)
    )
    finding = (
        f"Met the rule at some time: {shares_solved}"
        f"{wilson_words([own for _, own in _parts(study, points)], line_key)}."
    )
    dash_key = _dash_key(study)
    pooled = [
        key
        for key in study.factors
        if key not in (line_key, dash_key) and (key != panel_key or not panels_of)
    ]
    across = "updates" if points["planned"].max() > 1 else "the share of the run"
    caption = (
        f"Share of networks that have met the task's rule, against {across} (1 − Kaplan–Meier);"
        " steps fall on validations. Shaded: 95 % interval, by Greenwood's standard errors or"
        " those over the recipes of a line if larger (none where all or none have solved: the"
        " table has intervals"
        " that hold there). A network that never met it, diverged ones too, counts to the end as"
        f" not having met it.{f' Line style: {dash_key}.' if dash_key else ''}"
        f"{f' Pooled over {listing(pooled)}.' if pooled else ''}"
    )
    return Figure(
        picture, caption, f"Time to solve. {finding}", _table(study, points), WIDTH, finding, HOW
    )


def _dash_key(study: Study) -> str | None:
    """The factor that line styles tell apart: depth, where it varies and is no panel or line."""
    return "depth" if "depth" in study.factors and "depth" not in _keys(study) else None


def _curves(study: Study, points: pd.DataFrame, names: list[str], panels_of: list[str]) -> Drawing:
    line_key, panel_key = _keys(study)
    ink, shape = hues(study.factors, line_key, names), markers(names)
    dash_key = _dash_key(study)
    dashed = dict(zip(study.levels(dash_key), DASHES * 9, strict=False)) if dash_key else {}
    until = float(points["planned"].max())
    figure, axes = panels(
        1,
        max(1, len(panels_of)),
        width=WIDTH,
        height=3.1,
        left=0.7,
        right=1.3,
        top=0.3,
        bottom=0.5,
        gap=(0.18, 0),
    )
    for j, panel in enumerate(panels_of or [None]):
        axis = axes[0, j]
        here = points if panel is None else points[points[panel_key] == panel]
        for k, name in enumerate(names):
            where = {line_key: name} | ({} if panel is None else {panel_key: panel})
            own = here[here[line_key] == name]
            parts: list[tuple[dict[str, str], pd.DataFrame, object]] = [
                ({}, own, DASHES[k % len(DASHES)])
            ]
            if dash_key:
                parts = [
                    ({dash_key: one}, own[own[dash_key] == one], dash)
                    for one, dash in dashed.items()
                ]
            for more, part, dash in parts:
                if len(part):
                    _curve(study, where | more, axis, part, until, ink[name], shape[name], dash)
        axis.set(
            xlim=(0, until),
            ylim=(-0.02, 1.02),
            title=level(panel_key, panel) if panel is not None else "",
        )
        axis.set_yticks(
            [0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"] if j == 0 else []
        )
        if until > 1:
            update_ticks(axis, until)
        else:
            axis.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
            edge_labels(axis)
    axes[0, 0].set_ylabel("met the rule")
    x_label = "update" if until > 1 else "share of the run"
    shared_x_label(figure, x_label, left=0.7, right=1.3, y=0.015 * 3.1)
    if dash_key:
        _named_dashes(
            figure, [(level(dash_key, one), dash) for one, dash in dashed.items()], len(names)
        )
    named_marks(
        figure, [(level(line_key, name), ink[name], shape[name]) for name in names], WIDTH - 1.3
    )
    return figure


def _named_dashes(figure: Drawing, names: list[tuple[str, Any]], below: int) -> None:
    """A legend of line styles, under one of `below` marks."""
    width, height = figure.get_size_inches()
    for row, (name, dash) in enumerate(names, start=below + 1):
        y, left = 1 - (0.42 + 0.2 * row) / height, WIDTH - 1.3
        ends = [(left + 0.04) / width, (left + 0.24) / width]
        figure.add_artist(Line2D(ends, [y, y], color=INK, linestyle=dash, linewidth=1.3))
        figure.text((left + 0.29) / width, y, name, fontsize=8, va="center")


def _curve(
    study: Study,
    where: Mapping[str, str],
    axis: Axes,
    own: pd.DataFrame,
    until: float,
    colour: str,
    marker: str,
    dash: object,
) -> None:
    """Share solved so far (1 − Kaplan–Meier) with its band, and a mark at the end of the run."""
    curve = unsolved_over_arms(*_arrays(own))
    x = np.concatenate([[0.0], curve.time, [until]])
    y = 1 - np.concatenate([[1.0], curve.share, curve.share[-1:] if len(curve.share) else [1.0]])
    se = np.concatenate([[0.0], curve.se, curve.se[-1:] if len(curve.se) else [0.0]])
    axis.fill_between(
        x,
        np.clip(y - 1.96 * se, 0, 1),
        np.clip(y + 1.96 * se, 0, 1),
        step="post",
        color=colour,
        alpha=0.1,
        linewidth=0,
    )
    line = axis.step(x, y, where="post", color=colour, linestyle=dash, linewidth=1.5)
    end = axis.plot(
        [until], [y[-1]], marker, color=colour, markersize=5, clip_on=False, markeredgewidth=0
    )
    for artist in (line[0], end[0]):
        text = f"{percent(float(y[-1]))} of {count(len(own), 'network')} met the rule"
        marked(artist, level_mark(study, where, text))


def _units(own: pd.DataFrame) -> int:
    """What varies independently: arms, or the networks of a single one."""
    arms = own["arm"].nunique()
    return arms if arms > 1 else len(own)


def _few_words(own: pd.DataFrame) -> str:
    n, arms = _units(own), own["arm"].nunique()
    return f" over {count(n, 'recipe' if arms > 1 else 'network')}" if 1 < n < ENOUGH else ""


def _few_note(parts: list[pd.DataFrame], key: str) -> str:
    """A t interval of two or three values is cut at impossible ends: the values are given."""
    units = [_units(own) for part in parts for _, own in part.groupby(key) if own["solved"].any()]
    few = f"of fewer than {ENOUGH}, too few for an interval, lowest to highest"
    return f"; {few}" if any(1 < n < ENOUGH for n in units) else ""


def _lowest_to_highest(own: pd.DataFrame, until: float, digits: int) -> str:
    by_arm = own.groupby("arm")
    if by_arm.ngroups > 1:
        means = [restricted_mean(*_arrays(one)[:2], until).value for _, one in by_arm]
        return f"{number(min(means), digits)} to {number(max(means), digits)}"
    last = own.loc[own["time"].idxmax()]
    over = "" if own.loc[own["time"] == last["time"], "solved"].all() else "over "
    low, high = (number(own["time"].agg(end), digits) for end in ("min", "max"))
    return f"{low} to {over}{high}"


def _mean_words(mean: Estimate, own: pd.DataFrame, until: float) -> str:
    """The restricted mean; without an interval where every time lies at the end of the run, and
    with the range of fewer than ENOUGH units.
    """
    digits = 0 if until > 1 else 2
    if not own["solved"].any():
        return f"over {number(until, digits)}"
    if (own["time"] >= until).all():
        return number(until, digits) + ("" if own["solved"].all() else " or more")
    if 1 < _units(own) < ENOUGH:
        return f"{number(mean.value, digits)}, {_lowest_to_highest(own, until, digits)}"
    return f"{number(mean.value, digits)} {interval(mean.low, mean.high, digits)}"


def _table(study: Study, points: pd.DataFrame) -> Table:
    until = float(points["planned"].max())
    digits = 0 if until > 1 else 2
    rows: Rows = []
    for _, arm in study.arms.iterrows():
        own = points[points["arm"] == arm["arm"]]
        if own.empty:
            continue
        time, solved = own["time"].to_numpy(), own["solved"].to_numpy()
        share, mean, half = (
            wilson(int(solved.sum()), len(own)),
            restricted_mean(time, solved, until),
            median_time(unsolved(time, solved)),
        )
        rows.append(
            [
                arm["label"],
                Cell(
                    f"{int(solved.sum())}/{len(own)} {interval(share.low, share.high)}", share.value
                ),
                Cell(
                    number(half, digits) if known(half) else "not reached",
                    half if known(half) else math.inf,
                ),
                Cell(_mean_words(mean, own, until), mean.value),
                ", ".join(
                    f"{number(float(one), digits)}{'' if done else '+'}"
                    for one, done in zip(time, solved, strict=True)
                ),
            ]
        )
    columns = [
        "recipe",
        "met the rule at some time, Wilson interval",
        f"median ({_unit(points)})",
        f"restricted mean ({_unit(points)}), [95 % interval] or, of fewer than {ENOUGH} seeds,"
        " lowest to highest",
        "seeds (+: not met by then)",
    ]
    return Table(columns, rows, "Time to solve by recipe", filtered=True)
