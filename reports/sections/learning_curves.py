"""Learning curves: loss and score against updates for every seed, and the training gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports.analysis.arms import share_over_arms_words, unit_words, with_counted, with_interval
from reports.analysis.marks import point_marks
from reports.blocks import Cell, Figure, Heading, Prose, Rows, Section, Table
from reports.data.study import Study, perfect
from reports.figures.marks import marked
from reports.figures.theme import (
    DASHES,
    SOFT,
    colours,
    draw,
    legend,
    panels,
    shared_x_label,
    update_ticks,
)
from reports.formatting import count, decimals, known, level, listing, number, score_number, slug
from reports.statistics import marginal_means
from reports.statistics.survival import planned_updates

HOW = (
    "Above: the validation loss as a share of the [baseline|baseline, memoryless], so that 1 means"
    " that the sequence is still ignored. Below: the score. A line is one network; lines of"
    " one colour that lie together say that the seed matters little. A plateau at 1 followed by a"
    " fall is a network that learned late. What is learned and does not carry over to new"
    " data is the [training gap] in the table."
)
HOW_RECORDED = (
    "Above: the validation loss as it was recorded. Below: the score. A line is one network; lines"
    " of one colour that lie together say that the seed matters little."
)


class LearningCurves:
    """`longest`: most points per curve."""

    title = "Learning curves"
    needs = ("history.val_loss",)

    def __init__(self, *, longest: int) -> None:
        if longest < 2:
            raise ValueError(f"LearningCurves: longest must be at least 2, got {longest}")
        self.longest = longest

    def render(self, study: Study) -> Section:
        points = with_counted(study)
        history = study.table("history")
        ends = history[history["lr"].notna()].groupby("id")["lr"].last()
        points = points.assign(last_rate=points["id"].map(ends).astype(float))
        history = history[history["val_loss"].notna() | history["val_score"].notna()].merge(
            study.grid[["id", "baseline_loss"]], on="id"
        )
        baseline = history["baseline_loss"].astype(float)
        history["share"] = history["val_loss"].astype(float) / (
            baseline.where(lambda loss: loss > 0) if study.recorded("baseline_loss") else 1.0
        )
        history = thin(history, self.longest)
        blocks: list[object] = [
            Prose("How fast does each recipe learn, and does it keep what it learned?")
        ]
        for task in study.by_task:
            own = points if task is None else points[points["task"] == task]
            lines = history[history["id"].isin(own["id"])]
            if len(lines):
                blocks += [Heading(f"Task {task}")] if task else []
                blocks.append(self._figure(study, lines, own, task))
        if study.adopted and not study.recorded("train_score"):
            return Section(blocks)
        gap_text, gap_table = self._gap(study, points)
        return Section([*blocks, Prose(gap_text), gap_table])

    def _figure(
        self, study: Study, history: pd.DataFrame, points: pd.DataFrame, task: str | None
    ) -> Figure:
        """The figure of one task; tasks differ in updates and scores."""
        panel, ink_key = study.panel_factors
        others = [key for key in study.factors if key not in (panel, ink_key, "task")]
        names = [name for name in study.levels(panel) if (points[panel] == name).any()]
        ink = colours(study.levels(ink_key))
        dash_key = next((key for key in reversed(others) if points[key].nunique() > 1), None)
        dashes = dict(zip(study.levels(dash_key), (DASHES * 9), strict=False)) if dash_key else {}
        width = max(10.0, 1.5 + 1.5 * len(names))
        inks = [name for name in study.levels(ink_key) if (points[ink_key] == name).any()]
        ink = {name: ink[name] for name in inks}
        baseline, solved = _marks(study, task)
        picture = draw(
            lambda rasterized: curves(
                study,
                history,
                panel,
                names,
                ink_key,
                ink,
                dash_key,
                dashes,
                (baseline, solved),
                width,
                rasterized,
            ),
            name=f"curves-{slug(task)}" if task else "curves",
        )
        finding, table = self._end(study, points, names, task)
        lost = [key for key in others if key != dash_key and points[key].nunique() > 1]
        short = points["updates_done"].astype(float) < planned_updates(points).max()
        caption = (
            f"Every trained network is a line (n = {history['id'].nunique()}); panel: {panel};"
            f" colour: {ink_key}"
            + (f"; line style: {dash_key}" if dash_key else "")
            + (f"; {listing(lost)} not distinguished" if lost else "")
            + "."
            + _dashed(baseline, solved)
            + " Lines that reach the frame continue beyond it."
            + (
                " A curve that ends early diverged, was solved and ended there as declared, or had"
                " fewer updates to make."
                if short.any()
                else ""
            )
        )
        how = HOW if study.recorded("baseline_loss") else HOW_RECORDED
        return Figure(picture, caption, f"Learning curves. {finding}", table, width, finding, how)

    def _end(
        self, study: Study, points: pd.DataFrame, names: Sequence[str], task: str | None
    ) -> tuple[str, Table]:
        key = study.panel_factors[0]
        parts: list[str] = []
        rows: Rows = []
        scheduled = points["last_rate"].notna().any()
        for name in names:
            own = points[points[key] == name]
            solved = own["solved_at"].dropna()
            text = share_over_arms_words(own["solved_at"].notna(), own["arm"]) + (
                f", at update {solved.median():,.0f} (median of these)" if len(solved) else ""
            )
            parts.append(f"{level(key, name)} {text}")
            best = own["val_score"].astype(float)
            rows.append(
                [
                    level(key, name),
                    str(len(own)),
                    str(len(solved)),
                    Cell(number(solved.median(), 0) if len(solved) else "–", None),
                    score_number(best.median()),
                    f"{score_number(best.min())} to {score_number(best.max())}",
                    *([_rate(own["last_rate"])] if scheduled else []),
                ]
            )
        columns = [
            key,
            "networks",
            "met the rule at some time",
            "at update, median",
            f"best validation {study.metric}, median",
            "range",
            *(["learning rate at the end, median"] if scheduled else []),
        ]
        if study.adopted and not study.has_rule(points).any():
            medians = [f"{row[0]} {row[4]}" for row in rows]
            columns, rows = columns[:2] + columns[4:], [row[:2] + row[4:] for row in rows]
            return (
                f"Best validation {study.metric}, median over runs: {listing(medians)}.",
                Table(columns, rows, "Learning, by " + key),
            )
        rule = f"the rule of {task}" if task else "the task's rule"
        return (
            (
                f"Met {rule} at some time: {'; '.join(parts)}; 95 % Wilson intervals over"
                f" {unit_words(points, key)}."
            ),
            Table(columns, rows, "Learning, by " + key),
        )

    def _gap(self, study: Study, points: pd.DataFrame) -> tuple[str, Table]:
        """By how much the selected weights are better on training data than on test data."""
        sign = 1.0 if study.higher_is_better else -1.0
        points = points[points["status"] != "diverged"].assign(
            gap=lambda frame: sign * (frame["train_score"] - frame["score"])
        )
        extremes: list[tuple[float, str]] = []
        rows: Rows = []
        for key in study.factors or {study.matrix_factors[0]: []}:
            means = marginal_means(points, "gap", key, study.levels(key))
            train = marginal_means(points, "train_score", key, study.levels(key))
            for name, one in means.items():
                if known(one.value):
                    extremes.append((one.value, level(key, name)))
                    rows.append(
                        [
                            level(key, name),
                            score_number(train[name].value),
                            Cell(f"{with_interval(one, 3)}", one.value),
                            str(one.n),
                        ]
                    )
        overall = float(points["gap"].mean()) if len(points) else np.nan
        sentence = (
            f"Training {study.metric} is {_apart(overall)} on average over"
            f" {count(len(points), 'finished network')}"
            if known(overall)
            else "No finished network to compare training with test on"
        )
        if len(extremes) > 1:
            sentence += (
                f"; by factor level from {_signed(min(extremes))} to {_signed(max(extremes))}"
                " (positive: training is the better)"
            )
        columns = ["level", f"training {study.metric}", "better than on test by", "n"]
        return sentence + ".", Table(
            columns,
            rows,
            "Gap between training and test, averaged over all other factors, 95 % interval from the"
            " spread over seeds within recipes",
        )


def _apart(gap: float) -> str:
    """For example: better than the test score by 0.02."""
    return (
        f"{'better' if gap > 0 else 'worse'} than the test score by {score_number(abs(gap), 3)}"
        if gap
        else "the same as the test score"
    )


def _signed(extreme: tuple[float, str]) -> str:
    gap, name = extreme
    return f"{number(gap, decimals(gap, least=3), sign=True)} ({name})"


def _dashed(baseline: float | None, solved: float | None) -> str:
    """What the dashed lines are."""
    marks = {"the memoryless baseline": baseline, "the score that counts as solved": solved}
    names = [name for name, mark in marks.items() if known(mark)]
    return f" Dashed grey: {', and '.join(names)}." if names else ""


def _marks(study: Study, task: str | None) -> tuple[float | None, float | None]:
    """Baseline and solving score of the task, on the scale of the figure."""
    facts = study.tasks.get(task or "", study.task)
    baseline, solved = facts.get("baseline"), facts.get("solved")
    if not study.as_skill:
        return baseline, solved
    return 0.0, (
        (float(solved) - float(baseline)) / (perfect(facts) - float(baseline))
        if known(solved) and known(baseline) and float(baseline) != perfect(facts)
        else None
    )


def _rate(rates: pd.Series) -> str:
    """The median learning rate; of points without a schedule there is none."""
    return f"{rates.median():.2g}" if rates.notna().any() else "as set"


def thin(history: pd.DataFrame, longest: int) -> pd.DataFrame:
    """At most `longest` rows per point, including the first and the last."""
    place = history.groupby("id").cumcount()
    size = history.groupby("id")["update"].transform("size")
    step = np.ceil(size / longest).clip(lower=1)
    return history[(place % step == 0) | (place == size - 1)]


def curves(
    study: Study,
    history: pd.DataFrame,
    panel: str,
    names: Sequence[str],
    ink_key: str,
    ink: Mapping[str, str],
    dash_key: str | None,
    dashes: Mapping[str, object],
    dashed: tuple[float | None, float | None],
    width: float,
    rasterized: bool,
) -> Drawing:
    figure, axes = panels(
        2,
        len(names),
        width=width,
        height=4.75,
        left=0.72,
        right=0.15,
        top=0.56,
        bottom=0.48,
        gap=(0.16, 0.16),
    )
    relative = study.recorded("baseline_loss")
    loss = "validation loss / baseline" if relative else "validation loss"
    rows = (
        ("share", loss, 1.0 if relative else None, None),
        ("val_score", f"validation {study.metric}", *dashed),
    )
    last = float(history["update"].max() or 1)
    for i, (column, text, *wanted) in enumerate(rows):
        marks = [float(mark) for mark in wanted if known(mark)]
        low, high = _limits(history, column, marks, as_skill=study.as_skill)
        for j, name in enumerate(names):
            axis = axes[i, j]
            own = history[history[panel] == name]
            for _, run in own.groupby("id", sort=False):
                first = run.iloc[0]
                line = axis.plot(
                    run["update"],
                    run[column],
                    color=ink[first[ink_key]],
                    linestyle=dashes[first[dash_key]] if dash_key else "solid",
                    linewidth=0.9,
                    alpha=0.75,
                    rasterized=rasterized,
                )
                end = f"{text}, last {score_number(run[column].iloc[-1], 3)}"
                marked(line[0], *point_marks(study, run.head(1), [end]))
            for mark in marks:
                axis.axhline(mark, color=SOFT, linewidth=0.8, dashes=(3, 2), zorder=1)
            axis.set(ylim=(low, high), xlim=(0, last), xlabel="", ylabel="" if j else text)
            axis.tick_params(labelleft=j == 0, labelbottom=i == 1)
            if i == 1:
                update_ticks(axis, last)
            axis.set_title("" if i else level(panel, name))
    shared_x_label(figure, "update", left=0.72, right=0.15)
    legend(figure, _keys(study, ink_key, ink, dash_key, dashes), left=0.72)
    return figure


def _limits(
    history: pd.DataFrame, column: str, marks: Sequence[float], *, as_skill: bool
) -> tuple[float, float]:
    """Limits of the y axis.

    The first update is left out: an untrained network may be far off.
    """
    values = history.loc[history["update"] > 0, column].astype(float)
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if column == "share" and len(values) and marks:
        high = min(high, max(1.5, float(values.quantile(0.98))))
    if column == "val_score" and as_skill:
        low = max(low, -0.25)  # errors have no floor
    low, high = min([low, *marks]), max([high, *marks])
    pad = 0.04 * (high - low or 1)
    return low - pad, high + pad


def _keys(
    study: Study,
    ink_key: str,
    ink: Mapping[str, str],
    dash_key: str | None,
    dashes: Mapping[str, object],
) -> list[tuple[str, dict[str, object]]]:
    """Entries of the legend: colours, then line styles."""
    keys: list[tuple[str, dict[str, object]]] = [
        (level(ink_key, name), {"color": ink[name], "linewidth": 2}) for name in ink
    ]
    if dash_key:
        keys += [
            (level(dash_key, name), {"color": SOFT, "linestyle": dashes[name], "linewidth": 1.3})
            for name in study.levels(dash_key)
        ]
    return keys
