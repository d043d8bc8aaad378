"""Accuracy: every seed of every arm, with the interval of the mean.

No arm is represented by its best run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.analysis.adopted import noise_words
from reports.analysis.arms import (
    NO_RULE_HERE,
    has_rule,
    ranked,
    summary,
    with_counted,
    with_interval,
    worst_words,
)
from reports.analysis.effect_words import gap_words
from reports.analysis.effects import main_effects
from reports.analysis.flattery import flattery_words, limit_on_test
from reports.analysis.marks import arm_mark, point_marks
from reports.analysis.tallies import Tally, tally
from reports.analysis.terms_shown import terms_shown
from reports.blocks import Cell, Figure, Prose, Rows, Section, Table
from reports.data.study import Study, range_of
from reports.figures.hues import hue_of
from reports.figures.marks import marked
from reports.figures.theme import INK, SOFT, draw, markers, panels, shared_x_label
from reports.formatting import (
    count,
    decimals,
    interval,
    known,
    level,
    levels,
    listing,
    number,
    score_number,
)
from reports.statistics import Estimate, clamp, marginal_means, mean_interval, wilson

HOW = (
    "Every mark is one trained network ([network]), the upright stroke the mean of its [recipe],"
    " the bar"
    " the [interval] of that mean. Two recipes whose bars overlap much are not shown to differ; two"
    " whose bars are apart differ on these seeds. A mark far from its neighbours is a seed"
    " that behaved differently, not an error in the figure."
)
AT_BASELINE = " At the dashed [baseline|baseline, memoryless] the sequence is ignored."


class Accuracy:
    """Scores with t intervals by arm, and means by factor level."""

    title = "Accuracy"
    needs = ("score",)

    def render(self, study: Study) -> Section:
        arms, points = summary(study), with_counted(study)
        blocks: list[object] = [
            Prose(f"{self._sentence(study, arms)} {flattery_words(study)}".strip()),
            self._figure(study, arms, points),
        ]
        blocks += [self._by_metric(study, name) for name in study.tasks if _metrics(study, name)]
        if study.factors:
            blocks.append(self._by_level(study, points))
        return Section(blocks)

    def _sentence(self, study: Study, arms: pd.DataFrame) -> str:
        sentence = (
            f"Test {study.metric}, as it was recorded."
            if study.adopted
            else f"Test {study.metric} of the weights with the best validation, read once at the"
            " end."
        )
        seeds = len(study.seeds)
        if len(arms) > 1:
            sentence += (
                " Single recipes are shown and not tested against each other: with"
                f" {count(seeds, 'seed')} per side the smallest two-sided p of a permutation test"
                f" is {min(1.0, 2 / math.comb(2 * seeds, seeds)):.2g}, and of many recipes the best"
                " looks better than it is."
            )
        whole = [
            len(scores) > 1 and not lost
            for scores, lost in zip(arms["scores"], arms["lost"], strict=True)
        ]
        spread = arms.loc[whole, "scores"].map(lambda scores: np.std(scores, ddof=1))
        if len(arms) == 1 and spread.notna().any():
            return (
                f"{sentence} The spread over its {len(arms['scores'].iloc[0])} seeds is sd"
                f" {score_number(spread.iloc[0], 3)}."
            )
        if spread.notna().any() and not spread.max() > 0:
            return f"{sentence} Where no seed was lost, the seeds of a recipe have equal scores."
        if spread.notna().any():
            low, high = spread.idxmin(), spread.idxmax()
            if low == high or not spread.max() > spread.min():
                of = f" ({arms.loc[low, 'label']})" if spread.notna().sum() == 1 else ""
                return (
                    f"{sentence} Where no seed was lost, the spread over seeds is sd"
                    f" {score_number(spread[low], 3)}{of}."
                )
            sentence += (
                " Where no seed was lost, the spread over seeds runs from sd"
                f" {score_number(spread[low], 3)} ({arms.loc[low, 'label']}) to"
                f" {score_number(spread[high], 3)} ({arms.loc[high, 'label']})."
            )
        return sentence

    def _figure(self, study: Study, arms: pd.DataFrame, points: pd.DataFrame) -> Figure:
        panel, ink_key = study.matrix_factors
        keys = [ink_key, *study.other_factors]
        there = {tuple(arm[key] for key in keys) for _, arm in arms.iterrows()}
        lines = [
            line for line in study.combinations(keys) if tuple(line.values()) in there
        ]  # the design section lists the others
        lines = _best_first(study, arms, keys, lines)
        width = max(10.0, 3.2 + 1.4 * len(study.levels(panel)))
        picture = draw(
            lambda rasterized: dots(study, arms, points, panel, ink_key, lines, width, rasterized),
            name="accuracy",
        )
        order = ranked(study, arms)
        best, worst = order.iloc[0], order.iloc[-1]
        finding = (
            f"Mean test {study.metric} of the recipes runs from {with_interval(worst['score'])}"
            f" ({worst['label']}, n = {worst['n']}) to {with_interval(best['score'])}"
            f" ({best['label']}, n = {best['n']}){_intervals(order)}."
            if best["score"].value != worst["score"].value
            else f"Mean test {study.metric} is {with_interval(best['score'])} in every recipe."
        )
        if len(order) == 1:
            finding = (
                f"Mean test {study.metric} {with_interval(best['score'])}"
                f" ({count(best['n'], 'seed')}{'; 95 % interval' if best['n'] > 1 else ''})."
            )
        found = tally(points)
        caption = (
            f"Every seed is a mark ({count(len(points), 'network')} in"
            f" {count(len(arms), 'recipe')});"
            " upright stroke: mean; bar: 95 % t interval over seeds"
            + noise_words(
                study,
                " with the test set's noise added (from 10 seeds on: bootstrap over seeds and"
                " examples)",
            )
            + ". "
            + (
                f"✕: {found.lost} lost ({_lost(found)}), counted with {worst_words(study)}. "
                if found.lost
                else ""
            )
            + f"Rows: best mean over the panels first. {_dashed(study, points, arms)}".rstrip()
        )
        return Figure(
            picture,
            caption,
            f"Accuracy by recipe. {finding}",
            self._by_arm(study, arms),
            width,
            finding,
            HOW + (AT_BASELINE if study.recorded("baseline") else ""),
        )

    def _by_arm(self, study: Study, arms: pd.DataFrame) -> Table:
        rows: Rows = []
        for _, arm in arms.iterrows():
            one, solved = arm["score"], wilson(arm["outcomes"].get("solved", 0), arm["n"])
            rows.append(
                [
                    arm["label"],
                    *_value_and_interval(one),
                    str(arm["n"]),
                    ", ".join(score_number(score, 3) for score in arm["scores"]),
                    Cell(
                        f"{arm['outcomes'].get('solved', 0)}/{arm['n']}"
                        f" {interval(solved.low, solved.high)}",
                        solved.value if known(solved.value) else None,
                    )
                    if has_rule(study, int(arm["arm"]))
                    else Cell(NO_RULE_HERE, None),
                ]
            )
        return Table(
            [
                "recipe",
                f"test {study.metric}",
                "95 % interval",
                "n",
                "seeds",
                "solved at the end, Wilson interval",
            ],
            rows,
            "Every recipe with every seed",
            filtered=True,
        )

    def _by_metric(self, study: Study, task: str) -> Table:
        """Every metric of a task, by arm."""
        metrics, found = _metrics(study, task), study.table("metrics")
        found = found[found["part"] == "test"]
        rows: Rows = []
        for _, arm in study.arms.iterrows():
            own = found[found["arm"] == arm["arm"]]
            if own.empty or (len(study.tasks) > 1 and not own["id"].isin(_ids(study, task)).any()):
                continue
            cells: list[Cell | str] = [arm["label"]]
            for one in metrics:
                values = own.loc[own["metric"] == one["name"], "value"]
                cells.append(_cell(clamp(mean_interval(values.tolist()), *range_of(one))))
            rows.append([*cells, str(own["id"].nunique())])
        columns = [f"{one['text']} ({_right(one)})" for one in metrics]
        notes = (
            "On the test set, of the weights with the best validation, networks that were lost too:"
            " mean and 95 % t interval over seeds. The first metric is the score. Guess: the best"
            " rule without training, on validation. Validation is in the table metrics."
        )
        name = f" of {task}" if len(study.tasks) > 1 else ""
        return Table(["recipe", *columns, "n"], rows, f"Every metric{name}", notes, filtered=True)

    def _by_level(self, study: Study, points: pd.DataFrame) -> Table:
        effects = {one.factor: one for one in main_effects(study, points)}
        terms = terms_shown(study, "score")
        rows: Rows = []
        for factor, names in study.factors.items():
            means = marginal_means(points, "counted", factor, names)
            says = gap_words(factor, effects.get(factor), terms)
            for name in names:
                one = clamp(means[name], *study.score_range)
                rows.append(
                    [
                        Cell(level(factor, name)),
                        factor,
                        *_value_and_interval(one),
                        str(one.n),
                        Cell(says, None, "wrap"),
                    ]
                )
        columns = [
            "level",
            "factor",
            f"mean test {study.metric}",
            "95 % interval",
            "networks",
            "largest difference within the factor",
        ]
        notes = (
            "Each level averaged over all recipes that have it, recipes weighing equally;"
            " intervals from"
            " the spread over seeds within recipes; differences over recipes that occur at both"
            " levels"
            f"{noise_words(study, ', with the noise of the test set added')}. Where it depends on"
            " another factor which level is better, the difference stands at each level of that"
            " one, corrected for their number. Described; the tests are under Contrasts."
        )
        return Table(columns, rows, "Means by factor level", notes)


def _metrics(study: Study, task: str) -> Sequence[Mapping[str, Any]]:
    """What is measured of a task; [] for the score alone."""
    found: Sequence[Mapping[str, Any]] = study.tasks[task].get("metrics") or []
    return found


def _ids(study: Study, task: str) -> pd.Series:
    return study.stored.loc[study.stored["task"] == task, "id"]


def _cell(one: Estimate) -> Cell:
    return Cell(with_interval(one, 3), one.value if known(one.value) else None)


def _right(metric: Mapping[str, Any]) -> str:
    """What a metric's values are held against."""
    if metric["higher_is_better"] is None:
        return f"{metric['perfect']:.3g} is right"
    better = "higher" if metric["higher_is_better"] else "lower"
    return f"{better} is better; guess {score_number(metric['guess'], 3)}"


def _intervals(arms: pd.DataFrame) -> str:
    there = any(known(one.low) for one in arms["score"])
    return "; 95 % intervals" if there else "; one seed each, no interval"


def _marks(study: Study) -> dict[str, float]:
    """Reference scores that every panel marks."""
    limit = (
        f"the limit for solved, {number(study.task.get('solved'))} on validation, as it reads on"
        " test"
    )
    marks = {
        "the memoryless baseline": 0.0 if study.as_skill else study.task.get("baseline"),
        limit: limit_on_test(study),
    }
    return {name: float(mark) for name, mark in marks.items() if known(mark)}


def _best_first(
    study: Study, arms: pd.DataFrame, keys: list[str], lines: list[dict[str, str]]
) -> list[dict[str, str]]:
    """Rows by the mean score over their arms, the best at the top; those without any at the end."""
    means = arms.assign(mean=[one.value for one in arms["score"]]).groupby(keys)["mean"].mean()
    best = float("-inf") if study.higher_is_better else float("inf")

    def place(line: dict[str, str]) -> float:
        found = tuple(line.values())
        mean = float(means.get(found if len(found) > 1 else found[0], math.nan))
        mean = mean if known(mean) else best
        return -mean if study.higher_is_better else mean

    return sorted(lines, key=place)


def _range(study: Study, points: pd.DataFrame, arms: pd.DataFrame) -> tuple[float, float]:
    """Limits of the score axis: all runs with their intervals, and the reference scores.

    A reference score that would leave the runs less than half of the axis is left out.
    """
    values = points["counted"].dropna()
    ends = [end for one in arms["score"] for end in (one.low, one.high) if known(end)]
    low, high = min([*values, *ends]), max([*values, *ends])
    narrowest, widest = low, high
    for mark in sorted(_marks(study).values(), key=lambda mark: max(low - mark, mark - high)):
        if max(high, mark) - min(low, mark) <= 2 * (widest - narrowest):
            low, high = min(low, mark), max(high, mark)
    return low, high


def _value_and_interval(one: Estimate) -> tuple[Cell, str]:
    digits = decimals(one.value, one.half, 3)
    return (
        Cell(number(one.value, digits), one.value if known(one.value) else None),
        interval(one.low, one.high, digits),
    )


def _lost(found: Tally) -> str:
    quietly = f", {found.silent} silently" if found.silent else ""
    return f"{found.diverged} diverged{quietly}"


def _dashed(study: Study, points: pd.DataFrame, arms: pd.DataFrame) -> str:
    low, high = _range(study, points, arms)
    inside = [name for name, mark in _marks(study).items() if low <= mark <= high]
    outside = [
        f"{name}, {score_number(mark)}"
        for name, mark in _marks(study).items()
        if not low <= mark <= high
    ]
    return (f"Dashed: {listing(inside)}. " if inside else "") + (
        f"Beyond the frame: {listing(outside)}. " if outside else ""
    )


def dots(
    study: Study,
    arms: pd.DataFrame,
    points: pd.DataFrame,
    panel: str,
    ink_key: str,
    lines: list[dict[str, str]],
    width: float,
    rasterized: bool,
) -> Drawing:
    """One panel per level of `panel`, one row per entry of `lines`."""
    names = study.levels(panel)
    shape = markers(study.levels(ink_key))
    longest = max(len(levels(line)) for line in lines)
    left = min(3.4, 0.35 + 0.062 * longest)
    figure, axes = panels(
        1,
        len(names),
        width=width,
        height=0.85 + 0.215 * len(lines),
        left=left,
        right=0.15,
        top=0.35,
        bottom=0.5,
        gap=(0.16, 0),
    )
    low, high = _range(study, points, arms)
    marks = [mark for mark in _marks(study).values() if low <= mark <= high]
    pad = 0.06 * (high - low or 1)
    by_arm = {
        tuple(arm[key] for key in (panel, ink_key, *study.other_factors)): arm
        for _, arm in arms.iterrows()
    }
    for j, name in enumerate(names):
        axis = axes[0, j]
        for y, line in enumerate(lines):
            if y % 2:
                axis.axhspan(y - 0.5, y + 0.5, color=SOFT, alpha=0.06, linewidth=0)
            arm = by_arm.get((name, *line.values()))
            if arm is not None and arm["n"]:
                own, level_name = points[points["arm"] == arm["arm"]], line[ink_key]
                hue = hue_of(study.factors, arm)
                _arm(study, axis, y, arm, own, hue, shape[level_name], rasterized)
            elif arm is not None:
                place = {"va": "center", "ha": "center", "transform": axis.get_yaxis_transform()}
                axis.text(0.5, y, "no network yet", color=SOFT, fontsize=7, **place)
        for mark in marks:
            axis.axvline(mark, color=SOFT, linewidth=0.8, dashes=(3, 2), zorder=1)
        axis.set(
            xlim=(low - pad, high + pad), ylim=(len(lines) - 0.5, -0.5), title=level(panel, name)
        )
        axis.set_yticks(range(len(lines)), [levels(line) for line in lines] if j == 0 else [])
        axis.tick_params(axis="y", length=0)
    shared_x_label(figure, f"test {study.metric}", left=left, right=0.15)
    return figure


def _arm(
    study: Study,
    axis: Axes,
    y: int,
    arm: pd.Series,
    own: pd.DataFrame,
    colour: str,
    marker: str,
    rasterized: bool,
) -> None:
    """One row: interval, mean, and a mark per point."""
    one = arm["score"]
    mean = arm_mark(study, arm["arm"], f"mean test {study.metric} {with_interval(one, 3)}")
    if known(one.low):
        bar = axis.plot(
            [one.low, one.high],
            [y, y],
            color=colour,
            linewidth=4.5,
            alpha=0.28,
            solid_capstyle="butt",
            zorder=2,
        )
        marked(bar[0], mean)
    tick = axis.plot([one.value], [y], "|", color=INK, markersize=9, markeredgewidth=1.3, zorder=3)
    marked(tick[0], mean)
    fine = ~own["lost"]
    dots = axis.plot(
        own.loc[fine, "counted"],
        np.full(int(fine.sum()), y),
        marker,
        color=colour,
        markersize=3.8,
        markeredgewidth=0,
        alpha=0.95,
        linestyle="none",
        zorder=4,
        rasterized=rasterized,
    )
    crosses = axis.plot(
        own.loc[~fine, "counted"],
        np.full(int((~fine).sum()), y),
        "x",
        color="#c04848",
        markersize=5,
        markeredgewidth=1.4,
        linestyle="none",
        zorder=4,
    )
    for artist, some, lost in ((dots[0], own[fine], ""), (crosses[0], own[~fine], " (lost)")):
        texts = [f"test {study.metric} {score_number(value, 3)}{lost}" for value in some["counted"]]
        marked(artist, *point_marks(study, some, texts))
