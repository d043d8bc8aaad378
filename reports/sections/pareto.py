"""Accuracy against gradient health against cost: which arms no other arm beats in all three."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from reports.analysis.arms import summary, with_counted, with_interval
from reports.analysis.by_problem import under
from reports.analysis.margins import evidence
from reports.analysis.marks import arm_mark
from reports.analysis.pareto import CLOCK, SURE, affordable, aims, fronts
from reports.blocks import Cell, Figure, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.marks import marked
from reports.figures.theme import PAPER, SOFT, colours, draw, markers, panels
from reports.formatting import count, known, level, levels, number, percent, score_number, slug
from study.design.ranking import ranking

HOW = (
    "A mark is one [recipe]: its mean score upwards; across, on the left its [gradient health] (0"
    " carries; −2 means that a hundredth is left, or that it explodes by as much), on the right"
    " what a [network] costs in seconds. The larger the mark, the longer it trains. Filled marks"
    " are"
    " on the [Pareto front] in nearly all draws of seeds and test examples: a better score costs"
    " gradient health or time. Hollow marks are beaten in everything by another recipe in nearly"
    " all draws. Pale marks are open: which they are depends on the draw."
)
NAMED = 6  # arms in a sentence
PLACES = ON, OPEN, BEATEN = "on", "open", "beaten"
SEED = 2026
TIED = 1e-9  # differences of mean scores that are rounding


class Pareto:
    """`draws`: number of times that seeds and test examples are resampled; fewer for many arms."""

    title = "Accuracy against gradient health against cost"
    needs = ("score", "D", "U", "seconds")

    def __init__(self, *, draws: int) -> None:
        if draws < 1:
            raise ValueError(f"Pareto: draws must be at least 1, got {draws}")
        self.draws = draws

    def render(self, study: Study) -> Section:
        points = with_counted(study)
        blocks: list[object] = []
        for problem in study.problems:
            own, task = problem.of(points), problem.name
            gone = own.groupby("arm")["lost"].transform("all").astype(bool)
            ranks = ranking(own, higher_is_better=study.higher_is_better)
            unlearned = own["arm"].isin(ranks.index[~ranks["learned"]]) & ~gone
            made = self._blocks(study, own[~gone & ~unlearned], task)
            for out, why in ((gone, _gone), (unlearned, _unlearned)):
                made += [Prose(why(own.loc[out, "arm"].nunique()))] if out.any() else []
            blocks += under(study, problem, made)
        return Section(blocks)

    def _blocks(self, study: Study, points: pd.DataFrame, task: str) -> list[object]:
        """Blocks of one task; scores of different tasks are not compared."""
        if points.empty:
            return []
        frame = aims(study, points)
        if frame["arm"].nunique() < 2:
            return [
                Prose(
                    "Fewer than two recipes have score, gradient health and cost: there is nothing"
                    " to compare."
                )
            ]
        draws = affordable(self.draws, frame["arm"].nunique())
        found = fronts(study, frame, draws=draws, seed=SEED)
        arms = study.arms.set_index("arm").assign(
            label=lambda rows_of: [_label(study, row, task) for _, row in rows_of.iterrows()]
        )
        found["place"] = [_place(arm) for _, arm in found.iterrows()]
        by_arm = points.assign(horizon=points["id"].map(evidence(study)["horizon"])).groupby("arm")
        found = found.join(arms).join(by_arm["horizon"].median()).join(by_arm["lost"].sum())
        left_out = len(points) - len(frame)
        return [
            Prose(self._sentence(found, draws)),
            self._figure(study, found, points, left_out, draws, task),
        ]

    def _sentence(self, found: pd.DataFrame, draws: int) -> str:
        if found["share"].isna().all():
            on = found[found["on_front"]]
            return (
                f"By their means, {count(len(on), 'recipe')} of {len(found)}"
                f" {'is' if len(on) == 1 else 'are'} beaten by no other in score, gradient health"
                f" and cost at once: {_names(on)}. With one seed in a recipe nothing says how sure"
                " that is."
            )
        sure, open_ = found[found["place"] == ON], found[found["place"] == OPEN]
        beaten = len(found) - len(sure) - len(open_)
        at_least = f"in at least {percent(SURE)} of {draws:,} draws of seeds and test examples"
        sentence = (
            f"{count(len(sure), 'recipe')} of {len(found)} {'is' if len(sure) == 1 else 'are'}"
            " beaten by no other in score, gradient health and cost at once,"
            f" {at_least}: {_names(sure)}."
            if len(sure)
            else f"No recipe of {len(found)} is on the front of score, gradient health and cost"
            f" {at_least}."
        )
        if len(open_):
            sentence += f" For {count(len(open_), 'recipe')} it is open: {_names(open_)}."
        if beaten:
            sentence += (
                f" {_others(beaten, len(found))} beaten in at least {percent(SURE)} of the draws."
            )
        return sentence

    def _figure(
        self,
        study: Study,
        found: pd.DataFrame,
        points: pd.DataFrame,
        left_out: int,
        draws: int,
        task: str,
    ) -> Figure:
        keys = study.panel_factors
        ink, shape = colours(study.levels(keys[0])), markers(study.levels(keys[1]))
        sign = 1 if study.higher_is_better else -1
        picture = draw(
            lambda rasterized: drawing(study, found, sign, ink, shape, rasterized),
            name=f"pareto-{slug(task)}" if task else "pareto",
        )
        scores = summary(study).set_index("arm")["score"]
        top = found[found["score"] >= found["score"].max() - TIED]
        best = top.loc[top["health"].idxmax()]  # of those that tie
        cheapest = found[found["cheapest"]]
        cheap = cheapest.loc[cheapest["score"].idxmax()]
        cheaper = best.name not in cheapest.index
        which = (
            "the cheapest recipe" if len(cheapest) == 1 else f"of the {len(cheapest)} cheapest the"
        )
        which += "" if len(cheapest) == 1 else " best"
        finding = (
            f"The best mean score, {with_interval(scores[best.name])} ({best['label']}, n ="
            f" {int(best['n'])}), costs {score_number(-best['cost'], 1)} s per network at a"
            f" gradient health of {number(best['health'], 1)} powers of ten; "
            + (
                f"{which} ({cheap['label']}, n = {int(cheap['n'])},"
                f" {score_number(-cheap['cost'], 1)} s) reaches {with_interval(scores[cheap.name])}"
                if cheaper
                else "no recipe is shown to be cheaper"
            )
            + ("; 95 % intervals over seeds." if found["n"].max() > 1 else "; one seed a recipe.")
        )
        caption = (
            f"One mark per recipe (n = {len(found)} recipes, {int(found['n'].sum())} networks),"
            " means over"
            f" seeds, no interval drawn; colour: {keys[0]}; shape: {keys[1]}; size: seconds;"
            f" filled: on the front of score, gradient health and cost in at least {percent(SURE)}"
            " of the draws; hollow: beaten in as many; pale: open. Gradient health in"
            " powers of ten."
            " Cost: updates made, times the seconds per update of all networks that do the same"
            " arithmetic (those that differ in initial weights, clip rule or optimizer alone do)."
            f" Costs that differ by less than {percent(CLOCK)}, or than they vary over seeds, count"
            " as equal."
            + (f" {count(left_out, 'network')} without all three left out." if left_out else "")
        )
        table = self._table(study, found, draws)
        return Figure(
            picture,
            caption,
            f"Accuracy against gradient health against cost. {finding}",
            table,
            10.0,
            finding,
            HOW,
        )

    def _table(self, study: Study, found: pd.DataFrame, draws: int) -> Table:
        sign = 1 if study.higher_is_better else -1
        rows: Rows = []
        order = found.assign(rank=found["place"].map(list(PLACES).index))
        for _, arm in order.sort_values(
            ["rank", "score"], ascending=[True, False], kind="stable"
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
                    str(arm["place"]),
                    share,
                    str(int(arm["n"])),
                    str(arm["lost"]),
                ]
            )
        columns = [
            "recipe",
            f"test {study.metric}",
            "gradient health",
            "horizon",
            "seconds",
            "front",
            "share of draws",
            "n",
            "lost",
        ]
        notes = (
            f"Means over seeds; horizon: median, steps; lost: seeds that diverged, silently or not."
            f" Share of draws: of {draws:,} draws of"
            " the seeds within every recipe, and of the test examples where they were kept, those"
            f" that put it on the front; on or beaten: in at least {percent(SURE)} of them."
        )
        title = "Score, gradient health and cost, one row per recipe"
        return Table(columns, rows, title, notes, filtered=True)


def _place(arm: pd.Series) -> str:
    """Where an arm is in nearly all draws; with one seed in an arm, open or beaten by the means."""
    if not known(float(arm["share"])):
        return OPEN if arm["on_front"] else BEATEN
    return ON if arm["share"] >= SURE else BEATEN if arm["share"] <= 1 - SURE else OPEN


def _names(arms: pd.DataFrame) -> str:
    """The arms by name, best score first."""
    names = [
        f"{arm['label']}"
        + (f" ({arm['lost']} of {count(int(arm['n']), 'seed')} lost)" if arm["lost"] else "")
        for _, arm in arms.sort_values("score", ascending=False).iterrows()
    ]
    more = f"; and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return "; ".join(names[:NAMED]) + more


def _others(n: int, total: int) -> str:
    if n == total:
        return f"All {n} are"
    return "The other one is" if n == 1 else f"The other {n} are"


def _label(study: Study, arm: pd.Series, task: str) -> str:
    """The arm's levels, without those of the task if the heading names it."""
    keys = (study.same_problem if task else []) or list(study.factors)
    return levels({key: arm[key] for key in keys})


def _fill(colour: str, place: str) -> Any:
    return {ON: colour, OPEN: to_rgba(colour, 0.3), BEATEN: PAPER}[place]


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
        (("health", "gradient health (powers of ten)"), ("cost", "seconds per network")),
        strict=True,
    ):
        for (number_of, arm), size in zip(found.iterrows(), area, strict=True):
            colour = ink[str(arm[keys[0]])]
            dot = axis.scatter(
                [abs(arm[column]) if column == "cost" else arm[column]],
                [sign * arm["score"]],
                s=size,
                marker=shape[str(arm[keys[1]])],
                facecolor=_fill(colour, str(arm["place"])),
                edgecolor=colour,
                linewidth=1.1,
                zorder=5 - PLACES.index(str(arm["place"])),
                rasterized=rasterized,
            )
            text = (
                f"{title} {number(abs(arm[column]), 1)},"
                if column == "cost"
                else f"{title} {number(arm[column], 1)},"
            )
            score = score_number(sign * arm["score"], 3)
            marked(dot, arm_mark(study, number_of, f"{text} mean test {study.metric} {score}"))
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
        Line2D(
            [], [], marker="o", color=SOFT, markerfacecolor=_fill(SOFT, place), label=name, **plain
        )
        for place, name in ((ON, "on the front"), (OPEN, "open"), (BEATEN, "beaten"))
        if (found["place"] == place).any()
    ]
    return handles


def _gone(n: int) -> str:
    return (
        f"{count(n, 'recipe')} lost all {'its' if n == 1 else 'their'} seeds and"
        f" {'is' if n == 1 else 'are'} left out: whatever was learned is gone."
    )


def _unlearned(n: int) -> str:
    return (
        f"{count(n, 'recipe')} learned nothing on validation and {'is' if n == 1 else 'are'} left"
        " out."
    )
