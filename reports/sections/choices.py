"""Which level of the second factor for which level of the first: the study's question, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from reports.analysis.arms import with_counted, with_interval, worst_words
from reports.analysis.by_problem import under
from reports.analysis.effect_words import choice_words
from reports.analysis.marks import level_mark, point_marks
from reports.analysis.terms_shown import terms_shown
from reports.blocks import Cell, Figure, Rows, Section, Table
from reports.data.study import UNKNOWN, Study
from reports.figures.choices import Mean, choices
from reports.figures.theme import draw
from reports.formatting import count, level, levels, listing, score_number, short_name, slug
from reports.statistics import Estimate, clamp, weighted_arms

HOW = (
    "Each mark is a mean, with its value beside it; the small dots are the networks behind it. If"
    " the same choice were right in every panel, the lines would fall and rise alike. Where a line"
    " is flat, or its bars overlap, little depends on that choice there."
)
MOST_LINES, MOST_BOXES = 4, 60  # lines in a panel; means in a figure
SMALL_DOTS = 600  # runs above which only means are drawn


@dataclass(frozen=True)
class Lines:
    """What the lines of a panel are, and which factors are averaged over."""

    by: Sequence[dict[str, str]]
    pooled: Sequence[str]


class Choices:
    """The matrix's two factors against the score, over everything that does not change which of
    their levels is better.
    """

    title = "Which for which"
    needs = ("score",)

    def render(self, study: Study) -> Section:
        points = with_counted(study)
        blocks: list[object] = []
        for problem in study.problems:
            own = problem.of(points)
            figure = _figure(study, own, problem.name)
            blocks += under(study, problem, [figure] if figure else [])
        row, column = study.matrix_factors
        one, other = short_name(row), short_name(column)
        if column in study.problems[0].levels:  # a recipe is chosen for a problem
            one, other = other, one
        title = f"Which {other} for which {one}"
        if len(study.levels(column)) < 2:
            title = f"Test {study.metric} by {short_name(row)}"
        return Section(blocks, title=title)


def _figure(study: Study, points: pd.DataFrame, task: str) -> Figure | None:
    row, column = study.matrix_factors
    if UNKNOWN in (*study.levels(row), *study.levels(column)) or points.empty:
        return None
    lines = _lines(study, points, row, column)
    marks = _marks(study, points, row, column, lines.by)
    means = [mark for mark in marks if mark.mean.n]
    if len(means) < 2 or len(means) > MOST_BOXES:
        return None
    panels = [name for name in study.levels(row) if any(mark.panel == name for mark in means)]
    xs = [name for name in study.levels(column) if any(mark.x == name for mark in means)]
    runs = len(points) <= SMALL_DOTS
    of_panels, of_x, drawn = (row, panels), (column, xs), means
    if len(xs) == 1 < len(panels):  # what varies stands side by side, not in panels of one mean
        of_panels, of_x = of_x, of_panels
        drawn = [replace(mark, panel=mark.x, x=mark.panel) for mark in means]
    picture = draw(
        lambda rasterized: choices(
            of_panels, of_x, lines.by, drawn, f"test {study.metric}", runs=runs
        ),
        name=f"choices-{slug(task)}" if task else "choices",
    )
    # Over several tasks no difference is tested within one.
    finding = _highest(study, means, (row, column), lines) if task else ""
    finding = finding or choice_words(study, row, column)
    of_lines = f" Lines: {listing(list(lines.by[0]))}." if lines.by and lines.by[0] else ""
    over = f" Averaged over {listing(lines.pooled)}{_unlike(means, lines)}." if lines.pooled else ""
    dots = " Small dots: single networks." if runs else ""
    lost = int(points["lost"].sum())
    worst = f" {count(lost, 'lost network')} count with {worst_words(study)}." if lost else ""
    caption = (
        f"Mean test {study.metric} by {of_x[0]}"
        f"{f', a panel per {of_panels[0]}' if len(of_panels[1]) > 1 else ''};"
        f" bars: 95 % intervals over seeds.{of_lines}{over}{dots}{worst}"
    )
    return Figure(
        picture,
        caption,
        f"Mean test {study.metric} of {count(len(points), 'network')} by {row} and {column}."
        f" {finding}",
        _table(study, means, (row, column), lines),
        10.0,
        finding,
        HOW,
    )


def _lines(study: Study, points: pd.DataFrame, row: str, column: str) -> Lines:
    """A line for each level of what is shown to change the effect of either factor, and of what was
    not tried alike everywhere, over which a mean would compare other combinations.

    Where that makes too many lines, those with the larger interaction come first.
    """
    terms = terms_shown(study, "score")
    partners = [key for both in (column, row) for key in (terms.partners(both) if terms else [])]
    varying = [
        key for key in study.other_factors if key in study.factors and points[key].nunique() > 1
    ]
    apart = [key for key in varying if points.groupby([row, column])[key].agg(_tried).nunique() > 1]
    keys: list[str] = []
    for key in dict.fromkeys([*partners, *apart]):
        if key in varying and len(study.combinations([*keys, key])) <= MOST_LINES:
            keys.append(key)
    there = points[keys].drop_duplicates() if keys else pd.DataFrame()
    seen = {tuple(row_of) for row_of in there.to_numpy().tolist()}
    by = [one for one in study.combinations(keys) if not keys or tuple(one.values()) in seen]
    return Lines(by, [key for key in varying if key not in keys])


def _tried(levels_of: pd.Series) -> tuple[str, ...]:
    return tuple(sorted(set(levels_of)))


def _unlike(means: Sequence[Mean], lines: Lines) -> str:
    """That means are of different combinations, if they are."""
    tried = {
        frozenset(mean.points[list(lines.pooled)].itertuples(index=False, name=None))
        for mean in means
    }
    return ", which were not tried alike everywhere" if len(tried) > 1 else ""


def _highest(study: Study, means: Sequence[Mean], keys: tuple[str, str], lines: Lines) -> str:
    """The best mean of each panel, described and not tested."""
    row, column = keys
    best: dict[str, Mean] = {}
    sign = 1 if study.higher_is_better else -1
    for mean in means:
        if mean.panel not in best or sign * (mean.mean.value - best[mean.panel].mean.value) > 0:
            best[mean.panel] = mean
    parts = [
        f"{level(row, name)} {score_number(mean.mean.value)} with"
        f" {levels({column: mean.x, **lines.by[mean.line]})}"
        for name, mean in best.items()
    ]
    which = "Highest" if study.higher_is_better else "Lowest"
    return f"{which} mean test {study.metric}: {'; '.join(parts)} (shown, not tested)."


def _marks(
    study: Study, points: pd.DataFrame, row: str, column: str, by: Sequence[dict[str, str]]
) -> list[Mean]:
    marks = []
    for at, line in enumerate(by):
        here = points
        for key, name in line.items():
            here = here[here[key] == name]
        for panel in study.levels(row):
            for x in study.levels(column):
                own = here[(here[row] == panel) & (here[column] == x) & here["counted"].notna()]
                arms = sorted(own["arm"].unique())
                if not arms:
                    continue
                mean = weighted_arms(own, "counted", {arm: 1 / len(arms) for arm in arms})
                mean = clamp(mean, *study.score_range)
                text = f"test {study.metric}"
                says = level_mark(
                    study,
                    {row: panel, column: x, **line},
                    f"mean {text} {with_interval(mean, 3)} ({count(len(own), 'network')})",
                )
                values = [f"{text} {score_number(value, 3)}" for value in own["counted"]]
                dots = point_marks(study, own, values)
                marks.append(Mean(panel, x, at, mean, own, len(arms), says, dots))
    return marks


def _table(study: Study, marks: Sequence[Mean], keys: tuple[str, str], lines: Lines) -> Table:
    row, column = keys
    rows: Rows = []
    for mark in marks:
        line = lines.by[mark.line]
        one: Estimate = mark.mean
        rows.append(
            [
                level(row, mark.panel),
                level(column, mark.x),
                *([levels(line)] if line else []),
                Cell(with_interval(one, 3), one.value),
                str(mark.arms),
                str(one.n),
            ]
        )
    split = [listing(list(lines.by[0]))] if lines.by and lines.by[0] else []
    return Table(
        [row, column, *split, f"mean test {study.metric}, 95 %", "recipes", "n"],
        rows,
        "The means of the figure",
    )
