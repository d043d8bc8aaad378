"""Gradient health beside accuracy: the same arms in two heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from reports.analysis.arms import WORST, score_words, summary, with_counted, with_interval
from reports.analysis.marks import arm_mark
from reports.analysis.pareto import health
from reports.blocks import Cell, Figure, Heading, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.marks import Mark, marked
from reports.figures.theme import PAPER, SOFT, draw, panels, squeezed, transport_map
from reports.formatting import count, decimals, known, level, levels, number, slug
from reports.statistics import Estimate, clamp, mean_interval

START = "By their means the recipe of best gradient health"
HOW = (
    "Both panels have the same boxes, one a [recipe]. On the left the [gradient health]: how well"
    " the gradient travels at the end of training (0 carries; −2: a hundredth is left); on the"
    " right the"
    " mean score on test data. Pale and bright in the same place: gradient health and success go"
    " together there. Pale on the left and dark on the right: the gradient travels, and something"
    " else is"
    " in the way (the optimizer, the capacity, too few updates). Hatched: no seed of the recipe"
    " has a finite number. A star: some seeds have none, and the mean is of the others."
)
TIGHT = 0.19  # inches per row
# The left scale goes down to this many decades, so that small differences look small.
LEAST = -2.0


class SideBySide:
    """`boxes`: most arms that are drawn."""

    title = "Gradient health beside accuracy"
    needs = ("score", "D", "U")

    def __init__(self, *, boxes: int) -> None:
        if boxes < 1:
            raise ValueError(f"SideBySide: boxes must be at least 1, got {boxes}")
        self.boxes = boxes

    def render(self, study: Study) -> Section:
        found = _arms(study)
        blocks: list[object] = []
        for task in study.by_task:
            own = found if task is None else found[found["task"] == task]
            blocks += [Heading(f"Task {task}")] if task else []
            blocks += self._blocks(study, own, task)
        return Section(blocks, finding=_in_short(blocks))

    def _blocks(self, study: Study, found: pd.DataFrame, task: str | None) -> list[object]:
        there = [found[name].map(lambda one: known(one.value)) for name in ("health", "score")]
        seen = found[there[0] & there[1] & found["n"].gt(0)]
        if len(seen) < 2:
            return [
                Prose(
                    "Fewer than two recipes have a score and a finite gradient health: there is"
                    " nothing to compare."
                )
            ]
        if len(found) > self.boxes:
            return [
                Prose(
                    f"{_finding(study, seen)} {len(found):,} boxes are more than a figure can show;"
                    " the other sections have them in their tables."
                )
            ]
        rows, columns = _keys(study)
        picture = draw(
            lambda rasterized: drawing(study, found, rows, columns, rasterized),
            name=f"side-by-side-{slug(task)}" if task else "side-by-side",
        )
        finding = _finding(study, seen)
        caption = (
            f"One box per recipe (n = {len(found)} recipes, {int(found['n'].sum())} networks),"
            f" means over seeds; left: gradient health, powers of ten; right: test"
            f" {study.metric}; lost networks count with {WORST}."
        )
        table = _table(study, found, task)
        return [
            Figure(
                picture,
                caption,
                f"Gradient health beside accuracy. {finding}",
                table,
                10.0,
                finding,
                HOW,
            )
        ]


def _in_short(blocks: Sequence[object]) -> str:
    """The finding of a single figure, without the numbers of its arms."""
    findings = [block.finding for block in blocks if isinstance(block, Figure)]
    return f"{findings[0].partition(':')[0]}." if len(findings) == 1 else ""


def _arms(study: Study) -> pd.DataFrame:
    """The summary of arms with column `health`: an Estimate over seeds with a finite value."""
    points = with_counted(study)
    by_point = health(points)
    arms = summary(study)
    arms["health"] = [
        clamp(mean_interval(_finite(by_point[points["arm"] == arm])), -np.inf, 0.0)
        for arm in arms["arm"]
    ]
    return arms


def _finite(values: pd.Series) -> list[float]:
    return [float(value) for value in values if np.isfinite(value)]


def _finding(study: Study, seen: pd.DataFrame) -> str:
    means = pd.DataFrame(
        {
            "health": [one.value for one in seen["health"]],
            "score": [one.value for one in seen["score"]],
        },
        index=seen.index,
    )
    sign = 1 if study.higher_is_better else -1
    signed = sign * means["score"]
    healthy, good = means["health"] == means["health"].max(), signed == signed.max()
    both = healthy & good
    if both.any():
        best, tied = seen[both].iloc[0], int(healthy.sum() + good.sum()) > 2
        also = ", though not the only one" if tied else ""
        return f"{START} has the best mean score{also}: {_arm_words(study, best)}."
    well, best = seen[healthy].iloc[0], seen[good].iloc[0]
    apart = _disjoint(well["score"], best["score"])
    hedge = "" if apart else "; the intervals of these scores overlap" if apart is False else ""
    return (
        f"{START} does not have the best mean score: {_arm_words(study, well)};"
        f" {_arm_words(study, best)}{hedge}."
    )


def _disjoint(one: Estimate, other: Estimate) -> bool | None:
    """Whether two intervals are apart; None without intervals."""
    if not (known(one.low) and known(other.low)):
        return None
    return one.low > other.high or other.low > one.high


def _arm_words(study: Study, arm: pd.Series) -> str:
    spread = "95 % t-interval over seeds" if known(arm["health"].low) else "one seed, no interval"
    return (
        f"{arm['label']}, gradient health {with_interval(arm['health'])} powers of ten at test"
        f" {study.metric} {with_interval(arm['score'])} (n = {arm['n']}, {spread})"
    )


def _keys(study: Study) -> tuple[list[str], str]:
    """Factors of the rows and of the columns: the second panel factor across, all others down."""
    first, second = study.panel_factors
    return [first, *(key for key in study.factors if key not in (first, second, "task"))], second


def _table(study: Study, found: pd.DataFrame, task: str | None) -> Table:
    rows: Rows = []
    for _, arm in found.iterrows():
        left, right = arm["health"], arm["score"]
        name = levels(
            {
                key: arm[key]
                for key in study.factors
                if task is None or key != "task" or len(study.factors) == 1
            }
        )
        cells = [
            Cell(_words(left), left.value if known(left.value) else None),
            Cell(
                score_words(right) if arm["n"] else "–",
                right.value if arm["n"] and known(right.value) else None,
            ),
        ]
        rows.append([name, *cells, f"{left.n}/{arm['n']}"])
    notes = (
        "Mean ± half a 95 % interval over seeds, or its ends; n: seeds with a finite gradient"
        " health, of those stored."
    )
    return Table(
        ["recipe", "gradient health (powers of ten)", f"test {study.metric}", "n"],
        rows,
        "Gradient health and score, one row per recipe",
        notes,
        filtered=True,
    )


def _words(estimate: Estimate) -> str:
    return score_words(estimate) if known(estimate.value) else "–"


def drawing(
    study: Study, found: pd.DataFrame, rows: list[str], column: str, rasterized: bool
) -> Drawing:
    down = study.combinations(rows)
    across = [
        squeezed(name) for name in study.levels(column)
    ]  # rotated text is placed by its length
    names = [squeezed(" · ".join(level(key, label) for key, label in one.items())) for one in down]
    left = min(3.4, 0.35 + 0.068 * max(map(len, names)))
    tall = max(TIGHT * len(down), 0.9)
    slanted = len(across) * max(map(len, across)) > 48
    bottom = 0.72 if slanted else 0.28
    figure, axes = panels(
        1,
        2,
        width=10,
        height=tall + 0.28 + bottom,
        left=left,
        right=0.15,
        top=0.28,
        bottom=bottom,
        gap=(0.45, 0),
    )
    boxes = _boxes(study, found, rows, column)
    health = np.array(
        [[one["health"].value if one is not None else np.nan for one in row] for row in boxes],
        dtype=float,
    )
    score = np.array(
        [
            [one["score"].value if one is not None and one["n"] else np.nan for one in row]
            for row in boxes
        ],
        dtype=float,
    )
    low, high = min(np.nanmin(health), LEAST), max(np.nanmax(health), 0.0) + 0.25
    import seaborn as sns  # with scipy.stats and statsmodels a second to import

    better = sns.color_palette("crest", as_cmap=True)
    # Bright is good, as in the panel beside it.
    shades = better.reversed() if study.higher_is_better else better
    span = (float(np.nanmin(score)), float(np.nanmax(score)))
    title = "gradient health (powers of ten)"
    arms = [one for row in boxes for one in row]
    by_health, by_score = (
        [
            Mark("")
            if one is None
            else arm_mark(study, one["arm"], f"{text} {words(one)}, {count(int(one['n']), 'seed')}")
            for one in arms
        ]
        for text, words in (
            ("gradient health", lambda one: _words(one["health"])),
            (f"mean test {study.metric}", lambda one: _words(one["score"])),
        )
    )
    panel(axes[0, 0], health, boxes, transport_map(low, high), (low, high), title, 1, rasterized)
    panel(axes[0, 1], score, boxes, shades, span, f"test {study.metric}", 2, rasterized)
    for axis, marks in zip(axes[0], (by_health, by_score), strict=True):
        marked(axis.collections[0], *marks)
    axes[0, 0].set_yticks(np.arange(len(down)) + 0.5, names)
    axes[0, 1].set_yticks([])
    for axis in axes[0]:
        axis.set_xticks(
            np.arange(len(across)) + 0.5,
            across,
            rotation=30 if slanted else 0,
            ha="right" if slanted else "center",
        )
    return figure


def _boxes(
    study: Study, found: pd.DataFrame, rows: list[str], column: str
) -> list[list[pd.Series | None]]:
    """The arm of each box, None where there is none."""
    place = {
        (*(str(row[key]) for key in rows), str(row[column])): row for _, row in found.iterrows()
    }
    return [
        [
            place.get((*(str(value) for value in one.values()), name))
            for name in study.levels(column)
        ]
        for one in study.combinations(rows)
    ]


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    red, green, blue = (
        one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in colour[:3]
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def panel(
    axis: Axes,
    values: np.ndarray,
    boxes: Any,
    shades: Colormap,
    span: tuple[float, float],
    title: str,
    digits: int,
    rasterized: bool,
) -> None:
    """A heat map with its numbers.

    An arm without a number is hatched; a combination without an arm stays empty.
    """
    import seaborn as sns

    low, high = span if span[1] > span[0] else (span[0] - 0.5, span[0] + 0.5)
    sns.heatmap(
        values,
        ax=axis,
        cmap=shades,
        vmin=low,
        vmax=high,
        cbar=False,
        linewidths=1,
        linecolor=PAPER,
        rasterized=rasterized,
    )
    for i, row in enumerate(boxes):
        for j, arm in enumerate(row):
            if arm is None:
                continue
            if not np.isfinite(values[i, j]):
                axis.add_patch(
                    Rectangle(
                        (j + 0.04, i + 0.06),
                        0.92,
                        0.88,
                        facecolor="none",
                        edgecolor=SOFT,
                        hatch="////",
                        linewidth=0.5,
                    )
                )
                continue
            dark = (
                luminance(shades((values[i, j] - low) / (high - low))) < 0.179
            )  # white and black have equal contrast there
            places = digits if digits == 1 else decimals(values[i, j], arm["score"].half, digits)
            star = "*" if digits == 1 and arm["health"].n < arm["n"] else ""
            axis.text(
                j + 0.5,
                i + 0.5,
                f"{number(values[i, j], places)}{star}",
                ha="center",
                va="center",
                fontsize=7.5,
                color="#ffffff" if dark else "#000000",
            )
    axis.set_title(title, fontsize=8.5)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.tick_params(axis="y", rotation=0)
