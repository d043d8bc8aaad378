"""Learning curves: loss and score against updates by recipe, and the training gap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports.analysis.arms import share_over_arms_words, wilson_words, with_counted, with_interval
from reports.analysis.marks import arm_mark, point_marks
from reports.blocks import Cell, Figure, Heading, Prose, Rows, Section, Table
from reports.data.study import Study, perfect
from reports.figures.curves import LOST, Curve, Measure, learning_curves
from reports.figures.hues import hue_key, hue_of, hues
from reports.figures.theme import DASHES, INK, draw
from reports.formatting import count, decimals, known, level, listing, number, score_number, slug
from reports.statistics import marginal_means
from reports.statistics.survival import planned_updates

HOW = (
    "Above: the validation loss as a share of the [baseline|baseline, memoryless], so that 1 means"
    " that the sequence is still ignored. Below: the score. A line is one recipe, the shade"
    " around it its seeds: where it is narrow, the seed matters little. A plateau at 1 followed by"
    " a fall is a network that learned late. What is learned and does not carry over to new"
    " data is the [training gap] in the table."
)
HOW_RECORDED = (
    "Above: the validation loss as it was recorded. Below: the score. A line is one recipe,"
    " the shade around it its seeds: where it is narrow, the seed matters little."
)

MOST_ROWS = 4  # of panels per measure


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
        panel, row_key = study.panel_factors
        others = [key for key in study.factors if key not in (panel, row_key, "task")]
        names, rows = (
            [name for name in study.levels(key) if (points[key] == name).any()]
            for key in (panel, row_key)
        )
        apart = 1 < len(rows) <= MOST_ROWS  # else all in one row, by line style
        dash_key = next((key for key in reversed(others) if points[key].nunique() > 1), None)
        dash_key = dash_key if apart or len(rows) < 2 else row_key
        dashes = dict(zip(study.levels(dash_key), (DASHES * 9), strict=False)) if dash_key else {}
        width = max(10.0, 1.5 + 1.5 * len(names))
        baseline, solved = _marks(study, task)
        relative = study.recorded("baseline_loss")
        columns = (
            ("share", "validation loss / baseline" if relative else "validation loss"),
            ("val_score", f"validation {study.metric}"),
        )
        wanted = ((1.0 if relative else None,), (baseline, solved))

        def drawing(rasterized: bool) -> Drawing:
            measures = []
            for (column, text), values in zip(columns, wanted, strict=True):
                dashed = [float(value) for value in values if known(value)]
                limits = _limits(history, column, dashed, as_skill=study.as_skill)
                measures.append(Measure(text, limits, dashed))
            return learning_curves(
                _curves(
                    study,
                    history,
                    points,
                    lambda arm: (rows.index(arm[row_key]) if apart else 0, names.index(arm[panel])),
                    lambda arm: dashes[arm[dash_key]] if dash_key else "solid",
                    columns,
                ),
                measures,
                [level(row_key, name) for name in rows] if apart else [""],
                [level(panel, name) for name in names],
                last=float(history["update"].max() or 1),
                keys=_keys(study, panel, dash_key, dashes, lost=bool(points["lost"].any())),
                width=width,
                rasterized=rasterized,
            )

        picture = draw(drawing, name=f"curves-{slug(task)}" if task else "curves")
        finding, table = self._end(study, points, names, task)
        lost = [key for key in others if key != dash_key and points[key].nunique() > 1]
        short = points["updates_done"].astype(float) < planned_updates(points).max()
        caption = (
            f"A line per recipe: median over its {count(len(study.seeds), 'seed')}, shaded from"
            f" lowest to highest; column: {panel}"
            + (f"; row: {row_key}" if apart else "")
            + (f"; line style: {dash_key}" if dash_key else "")
            + (f"; {listing(lost)} not told apart" if lost else "")
            + "."
            + ("" if study.adopted else " Dot: where the kept weights were taken (median).")
            + (" Red: networks that were lost, each on its own." if points["lost"].any() else "")
            + _dashed(baseline, solved)
            + " Lines that reach the frame continue beyond it."
            + (" A network that ended early counts on with its last value." if short.any() else "")
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
                f"Best validation {study.metric}, median over networks: {listing(medians)}.",
                Table(columns, rows, "Learning, by " + key),
            )
        rule = f"the rule of {task}" if task else "the task's rule"
        return (
            (f"Met {rule} at some time: {'; '.join(parts)}{wilson_words([points], key)}."),
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


def _curves(
    study: Study,
    history: pd.DataFrame,
    points: pd.DataFrame,
    place: Callable[[pd.Series], tuple[int, int]],
    dash: Callable[[pd.Series], object],
    measures: Sequence[tuple[str, str]],
) -> list[Curve]:
    """A line per recipe, of its networks that were not lost, and one per lost network.

    A network that ended early counts on with its last value. `measures`: column and name.
    """
    made: list[Curve] = []
    lost = set(points.loc[points["lost"], "id"])
    arms = points.drop_duplicates("arm").set_index("arm")
    for arm, own in history.groupby("arm", sort=False):
        labels = arms.loc[arm]
        colour = hue_of(study.factors, labels)
        fine = own[~own["id"].isin(lost)]
        kept = _kept(study, fine)
        for at, (column, text) in enumerate(measures):
            wide = fine.pivot_table(index="update", columns="id", values=column).ffill()
            if len(wide):
                low, middle, high = (
                    getattr(wide, name)(axis=1).to_numpy(dtype=float)
                    for name in ("min", "median", "max")
                )
                ends = [score_number(one[-1], 3) for one in (middle, low, high)]
                said = f"{text}, last {ends[0]} (median of {wide.shape[1]}"
                said += f", {ends[1]} to {ends[2]})" if wide.shape[1] > 1 else ")"
                said += f"; weights kept at update {kept:,.0f}" if kept is not None else ""
                made.append(
                    Curve(
                        at,
                        place(labels),
                        wide.index.to_numpy(dtype=float),
                        middle,
                        arm_mark(study, int(arm), said),
                        low,
                        high,
                        colour,
                        dash(labels),
                        kept,
                    )
                )
            for _, run in own[own["id"].isin(lost)].groupby("id", sort=False):
                run = run[run[column].notna()]
                if len(run):
                    end = f"lost; {text}, last {score_number(run[column].iloc[-1], 3)}"
                    (shows,) = point_marks(study, run.head(1), [end])
                    x, y = (run[name].to_numpy(dtype=float) for name in ("update", column))
                    made.append(Curve(at, place(labels), x, y, shows))
    return made


def _kept(study: Study, runs: pd.DataFrame) -> float | None:
    """Median of the updates at which the weights of these networks were best on validation."""
    if study.adopted:
        return None
    scores = runs.dropna(subset=["val_score"])
    if scores.empty:
        return None
    best = scores.groupby("id")["val_score"]
    rows = best.idxmax() if study.higher_is_better else best.idxmin()
    return float(scores.loc[rows, "update"].median())


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
    study: Study, panel: str, dash_key: str | None, dashes: Mapping[str, object], *, lost: bool
) -> list[tuple[str, dict[str, object]]]:
    """Entries of the legend: hues that no column names, line styles, lost networks."""
    hued = hue_key(study.factors)
    keys: list[tuple[str, dict[str, object]]] = [
        (level(hued, name), {"color": colour, "linewidth": 2})
        for name, colour in hues(study.factors, hued, study.levels(hued)).items()
        if hued and hued != panel
    ]
    if dash_key:
        keys += [
            (level(dash_key, name), {"color": INK, "linestyle": dashes[name], "linewidth": 1.3})
            for name in study.levels(dash_key)
        ]
    return keys + [("lost", {"color": LOST, "linewidth": 1.3})] * lost
