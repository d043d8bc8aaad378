"""Accuracy against health against cost: which arms no other arm beats in all three."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from reports.analysis.arms import summary, with_counted, with_interval
from reports.analysis.pareto import aims, fronts
from reports.blocks import Cell, Figure, Heading, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.theme import PAPER, SOFT, colours, draw, markers, panels
from reports.formatting import count, known, level, levels, number, percent, score_number, slug

HOW = (
    "A mark is one [arm]: its mean score upwards; across, on the left how well credit travels at"
    " the end of training (0 carries; −2 means that a hundredth is left, or that it explodes by as"
    " much), on the right what a [point] costs in seconds. The larger the mark, the longer it"
    " trains. Filled marks are on the [Pareto front]: a better score"
    " costs health or time. Hollow marks are beaten in everything by another arm. The share in"
    " the table says how often the same seeds, drawn again, put an arm on the front: near 100 % is"
    " sure, near 50 % is a toss-up."
)
NAMED = 6  # arms in a sentence
SEED = 2026


class Pareto:
    """`draws`: number of times that seeds are resampled."""

    title = "Accuracy against health against cost"
    needs = ("score", "D", "U", "seconds")

    def __init__(self, *, draws: int) -> None:
        if draws < 1:
            raise ValueError(f"Pareto: draws must be at least 1, got {draws}")
        self.draws = draws

    def render(self, study: Study) -> Section:
        points = with_counted(study)
        blocks: list[object] = []
        for task in study.by_task:
            own = points if task is None else points[points["task"] == task]
            blocks += [Heading(f"Task {task}")] if task else []
            blocks += self._blocks(study, own, task)
        return Section(blocks)

    def _blocks(self, study: Study, points: pd.DataFrame, task: str | None) -> list[object]:
        """Blocks of one task; scores of different tasks are not compared."""
        frame = aims(study, points)
        found = fronts(frame, draws=self.draws, seed=SEED)
        if len(found) < 2:
            return [
                Prose(
                    "Fewer than two arms have score, health and cost: there is nothing to compare."
                )
            ]
        arms = study.arms.set_index("arm").assign(
            label=lambda rows_of: [_label(study, row, task) for _, row in rows_of.iterrows()]
        )
        found = found.join(arms).join(points.groupby("arm")["horizon"].median())
        left_out = len(points) - len(frame)
        return [Prose(self._sentence(found)), self._figure(study, found, left_out, task)]

    def _sentence(self, found: pd.DataFrame) -> str:
        on = found[found["on_front"]].sort_values("score", ascending=False, kind="stable")
        names = [str(name) for name in on["label"][:NAMED]]
        sentence = (
            f"{'; '.join(names)}; and {len(on) - NAMED} more"
            if len(on) > NAMED
            else "; ".join(names)
        )
        stay = int((on["share"] >= 0.9).sum())
        sure = (
            f"{str(stay) if stay else 'None'} of these {'stays' if stay == 1 else 'stay'} there in"
            f" at least 90 % of {self.draws} draws of the seeds"
            if on["share"].notna().any()
            else "With one seed in an arm nothing says how sure that is"
        )
        return (
            f"{count(len(on), 'arm')} of {len(found)} {'is' if len(on) == 1 else 'are'} beaten by"
            f" no other in score, health and cost at once: {sentence}. {sure}; a front by means is"
            " optimistic, like any best of many."
        )

    def _figure(self, study: Study, found: pd.DataFrame, left_out: int, task: str | None) -> Figure:
        keys = study.panel_factors
        ink, shape = colours(study.levels(keys[0])), markers(study.levels(keys[1]))
        sign = 1 if study.higher_is_better else -1
        picture = draw(
            lambda rasterized: drawing(study, found, sign, ink, shape, rasterized),
            name=f"pareto-{slug(task)}" if task else "pareto",
        )
        scores = summary(study).set_index("arm")["score"]
        best, cheap = found.loc[found["score"].idxmax()], found.loc[found["cost"].idxmax()]
        finding = (
            f"The best mean score, {with_interval(scores[best.name])} ({best['label']}, n ="
            f" {int(best['n'])}), costs {number(-best['cost'], 1)} s per point at a health of"
            f" {number(best['health'], 1)} decades; the cheapest arm ({cheap['label']}, n ="
            f" {int(cheap['n'])}, {number(-cheap['cost'], 1)} s) reaches"
            f" {with_interval(scores[cheap.name])}; 95 % intervals over seeds."
        )
        caption = (
            f"One mark per arm (n = {len(found)} arms, {int(found['n'].sum())} points), means over"
            f" seeds, no interval drawn; colour: {keys[0]}; shape: {keys[1]}; size: seconds;"
            " filled: on the front of score, health and cost. Health: min(0, D) − max(0, U) at the"
            " end, decades."
            + (f" {count(left_out, 'point')} without all three left out." if left_out else "")
        )
        table = self._table(study, found)
        return Figure(
            picture,
            caption,
            f"Accuracy against health against cost. {finding}",
            table,
            10.0,
            finding,
            HOW,
        )

    def _table(self, study: Study, found: pd.DataFrame) -> Table:
        sign = 1 if study.higher_is_better else -1
        rows: Rows = []
        for _, arm in found.sort_values(
            ["on_front", "score"], ascending=False, kind="stable"
        ).iterrows():
            cells = [
                Cell(score_number(sign * arm["score"], 3), sign * arm["score"]),
                Cell(number(arm["health"], 1), arm["health"]),
            ]
            horizon = (
                Cell(number(arm["horizon"], 0), arm["horizon"])
                if known(arm["horizon"])
                else Cell("–", None)
            )
            cost = Cell(number(-arm["cost"], 1), -arm["cost"])
            share = Cell(
                percent(arm["share"]), float(arm["share"]) if known(float(arm["share"])) else None
            )
            rows.append(
                [
                    str(arm["label"]),
                    *cells,
                    horizon,
                    cost,
                    "yes" if arm["on_front"] else "no",
                    share,
                    str(int(arm["n"])),
                ]
            )
        columns = [
            "arm",
            f"test {study.metric}",
            "health",
            "horizon",
            "seconds",
            "on the front",
            "share of draws",
            "n",
        ]
        notes = (
            f"Means over seeds; horizon: median, steps. Share of draws: {self.draws} draws of the"
            " seeds within every arm that put it on the front."
        )
        return Table(columns, rows, "Score, health and cost, one row per arm", notes, filtered=True)


def _label(study: Study, arm: pd.Series, task: str | None) -> str:
    """The arm's levels, without the task if the heading names it."""
    return levels(
        {
            key: arm[key]
            for key in study.factors
            if task is None or key != "task" or len(study.factors) == 1
        }
    )


def _there(found: pd.DataFrame, study: Study, key: str) -> list[str]:
    return [name for name in study.levels(key) if (found[key] == name).any()]


def drawing(
    study: Study,
    found: pd.DataFrame,
    sign: int,
    ink: Mapping[str, str],
    shape: Mapping[str, str],
    rasterized: bool,
) -> Drawing:
    figure, axes = panels(
        1, 2, width=10, height=3.7, left=0.75, right=1.75, top=0.15, bottom=0.5, gap=(0.3, 0)
    )
    keys = study.panel_factors
    cost = -found["cost"]
    area = 18 + 90 * cost / (cost.max() or 1)
    for axis, (column, title) in zip(
        axes[0],
        (("health", "health at the end (decades)"), ("cost", "seconds per point")),
        strict=True,
    ):
        for (_, arm), size in zip(found.iterrows(), area, strict=True):
            colour = ink[str(arm[keys[0]])]
            axis.scatter(
                [abs(arm[column]) if column == "cost" else arm[column]],
                [sign * arm["score"]],
                s=size,
                marker=shape[str(arm[keys[1]])],
                facecolor=colour if arm["on_front"] else PAPER,
                edgecolor=colour,
                linewidth=1.1,
                zorder=4 if arm["on_front"] else 3,
                rasterized=rasterized,
            )
        axis.set_xlabel(title)
        axis.margins(0.07)
    axes[0, 1].set_xlim(left=0)
    axes[0, 1].set_yticklabels([])
    axes[0, 1].set_ylim(axes[0, 0].get_ylim())
    axes[0, 0].set_ylabel(f"test {study.metric}, mean")
    axes[0, 0].axvline(0, color=SOFT, linewidth=0.8, dashes=(3, 2), zorder=1)
    handles = _handles(study, found, ink, shape)
    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=((10 - 1.68) / 10, 0.55),
        handletextpad=0.2,
        labelspacing=0.35,
    )
    return figure


def _handles(
    study: Study, found: pd.DataFrame, ink: Mapping[str, str], shape: Mapping[str, str]
) -> list[Line2D]:
    """Entries of the legend: colours, shapes, filled or not."""
    keys = study.panel_factors
    plain: dict[str, Any] = {"linestyle": "none", "markersize": 5.5}
    handles = [
        Line2D([], [], marker="o", color=ink[name], label=level(keys[0], name), **plain)
        for name in _there(found, study, keys[0])
    ]
    handles += [
        Line2D([], [], marker=shape[name], color=SOFT, label=level(keys[1], name), **plain)
        for name in _there(found, study, keys[1])
    ]
    handles += [
        Line2D([], [], marker="o", color=SOFT, markerfacecolor=fill, label=name, **plain)
        for name, fill in (("on the front", SOFT), ("beaten", PAPER))
    ]
    return handles
