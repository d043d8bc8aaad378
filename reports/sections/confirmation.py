"""Confirmation: the best arms trained again on seeds that had no part in choosing them."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure as Drawing

from reports.analysis.arms import with_interval
from reports.analysis.confirmation import Confirmation, confirmation, confirmation_sentence
from reports.blocks import Cell, Figure, Notice, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.marks import Mark, marked
from reports.figures.theme import INK, SOFT, draw, panels
from reports.formatting import count, known, score_number, shorten
from reports.statistics import Estimate

HOW = (
    "The best recipes were chosen on the hollow marks, so those are optimistic; the filled marks"
    " are"
    " networks on [seeds|seed] that had no part in the choice. Where filled lies left of hollow the"
    " choice was partly luck. Only the filled marks say how good a [recipe] is."
)
WIDTH = 10.0


class Confirmed:
    """Shown only if `make confirm` has run."""

    title = "Confirmed on fresh seeds"
    needs = ("val_score",)

    def render(self, study: Study) -> Section:
        points_of = confirmation(study)
        if points_of is None:
            return Section([])
        blocks: list[object] = [Prose(confirmation_sentence(study, points_of))]
        if not points_of.fresh:
            blocks.append(
                Notice(
                    "Some of these seeds had a part in choosing the recipes: the scores"
                    " are optimistic.",
                    "caution",
                )
            )
        if points_of.missing:
            blocks.append(
                Notice(
                    f"{count(points_of.missing, 'network')} of the confirmation"
                    f" {'is' if points_of.missing == 1 else 'are'} missing or failed.",
                    "caution",
                )
            )
        return Section([*blocks, _figure(study, points_of)])


def _figure(study: Study, confirmed: Confirmation) -> Figure:
    picture = draw(lambda rasterized: _dots(study, confirmed), name="confirmation")
    first = confirmed.arms[0]
    scored = f"{score_number(first.estimate.value, 3)} on {count(len(first.fresh), 'fresh seed')}"
    finding = (
        f"{first.label}: {scored}, {score_number(first.screening.value, 3)} on those that chose it."
    )
    drops = [
        one.screening.value - one.estimate.value
        for one in confirmed.arms
        if known(one.screening.value - one.estimate.value)
    ]
    mean = sum(drops) / len(drops) if drops else float("nan")
    way = 1 if study.higher_is_better else -1
    caption = (
        "Filled: networks on fresh seeds, with mean and 95 % t interval (test set's noise added);"
        " hollow: networks on the seeds that chose the recipes. On fresh seeds the recipes score"
        f" {score_number(abs(mean), 3)} {'less' if way * mean > 0 else 'more'} well on average."
    )
    return Figure(
        picture, caption, f"Confirmation. {finding}", _table(study, confirmed), WIDTH, finding, HOW
    )


def _table(study: Study, confirmed: Confirmation) -> Table:
    rows: Rows = [
        [
            one.label,
            Cell(f"{with_interval(one.estimate, 3)}", one.estimate.value),
            ", ".join(score_number(score, 3) for score in one.fresh),
            Cell(f"{with_interval(one.screening, 3)}", one.screening.value),
            (f"{with_interval(one.behind, 3, sign=True)}" if known(one.behind.value) else "–"),
            (f"{with_interval(one.improve)}" if known(one.improve.value) else "–"),
            Cell(
                one.p_words.removeprefix("= ") if known(one.p) else "–",
                one.p if known(one.p) else None,
            ),
        ]
        for one in confirmed.arms
    ]
    columns = [
        "recipe, in order of validation",
        f"test {study.metric} on fresh seeds",
        "seeds",
        "on the seeds that chose it",
        "first minus it",
        "P(improve) of the first",
        "p, Holm",
    ]
    notes = (
        f"Fresh seeds: {', '.join(map(str, confirmed.seeds))}. Recipes were chosen by mean"
        f" validation score on seeds {', '.join(map(str, study.seeds))}."
    )
    return Table(columns, rows, "Recipes on fresh seeds", notes)


def _dots(study: Study, confirmed: Confirmation) -> Drawing:
    left = min(4.2, 0.4 + 0.066 * max(len(shorten(one.label, 60)) for one in confirmed.arms))
    figure, axes = panels(
        1,
        1,
        width=WIDTH,
        height=0.75 + 0.42 * len(confirmed.arms),
        left=left,
        right=0.4,
        top=0.12,
        bottom=0.5,
        gap=(0, 0),
    )
    axis = axes[0, 0]
    for y, one in enumerate(confirmed.arms):
        seeds = {"fresh seeds": one.fresh, "seeds that chose it": one.screened}
        fresh, screened = (
            (
                Mark(f"{one.label}, {which}: mean {with_interval(mean, 3)}", (one.arm,)),
                [
                    Mark(f"{one.label}, one of the {which}: {score_number(run, 3)}", (one.arm,))
                    for run in seeds[which]
                ],
            )
            for which, mean in zip(seeds, (one.estimate, one.screening), strict=True)
        )
        _row(axis, y - 0.14, one.fresh, one.estimate, INK, INK, *fresh)
        _row(axis, y + 0.18, one.screened, one.screening, SOFT, "none", *screened)
    axis.set(ylim=(len(confirmed.arms) - 0.5, -0.5), xlabel=f"test {study.metric}")
    axis.set_yticks(range(len(confirmed.arms)), [shorten(one.label, 60) for one in confirmed.arms])
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=SOFT, alpha=0.15)
    return figure


def _row(
    axis,
    y: float,
    runs: Sequence[float],
    estimate: Estimate,
    colour: str,
    fill: str,
    mean: Mark,
    each: Sequence[Mark],
) -> None:
    if known(estimate.low):
        bar = axis.plot(
            [estimate.low, estimate.high],
            [y, y],
            color=colour,
            linewidth=4,
            alpha=0.28,
            solid_capstyle="butt",
        )
        marked(bar[0], mean)
    tick = axis.plot([estimate.value], [y], "|", color=INK, markersize=9, markeredgewidth=1.3)
    marked(tick[0], mean)
    dots = axis.plot(
        runs,
        [y] * len(runs),
        "o",
        color=colour,
        markersize=4,
        markerfacecolor=fill,
        markeredgewidth=0.9,
        linestyle="none",
    )
    marked(dots[0], *each)
