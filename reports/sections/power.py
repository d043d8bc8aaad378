"""Power: the differences that this number of seeds can resolve, and what more seeds would add."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from reports.analysis.arms import with_counted
from reports.analysis.comparison import match
from reports.analysis.measures import measured
from reports.blocks import Cell, Figure, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.data.test_set import by_example, weighted_noise
from reports.figures.marks import Mark, marked
from reports.figures.theme import DASHES, INK, PAPER, SOFT, draw, panels
from reports.formatting import known, level, listing, score_number, shorten
from reports.statistics import level_gap
from reports.statistics.levels import Gap
from study.design.power import MAX_SEEDS, floor_of_test_set, resolvable, seeds_for

HOW = (
    "A line falls from left to right: more [seeds|seed] a [recipe] find smaller differences. Take"
    " the"
    " line of the comparison you care about, go to the number of seeds you can afford, and read off"
    " the smallest difference you would find four times out of five. A filled mark is a"
    " measured difference that this study could resolve; a hollow one may be chance."
)
WIDTH = 10.0
NOT_A_FACTOR = "two recipes"


@dataclass(frozen=True)
class Question:
    """A difference to resolve.

    `weights` of the arms compared; `df_per_seed`: degrees of freedom that another seed adds;
    `measured`: the difference found, or NaN; `floor`: what the test set alone leaves unresolved of
    it, however many seeds, 0 if unknown.
    """

    name: str
    weights: Sequence[float]
    df_per_seed: int
    measured: float
    floor: float

    def resolved(self, seeds: int, spread: float) -> float:
        """Smallest difference found with this many seeds per arm and this spread over them."""
        df = self.df_per_seed * (seeds - 1)
        return resolvable(self.weights, seeds, df, self.floor / spread) * spread

    def seeds(self, spread: float) -> int | None:
        """Seeds per arm that would resolve the measured difference; None if no number would."""
        return seeds_for(
            self.measured / spread, self.weights, self.df_per_seed, self.floor / spread
        )

    def examples(self, examples: int, seeds: int, spread: float) -> int | None:
        """Test examples, `examples` now, that would resolve it with these seeds; None if none."""
        by_seeds = replace(self, floor=0.0).resolved(seeds, spread)
        if not self.measured > by_seeds:
            return None
        return math.ceil(examples * self.floor**2 / (self.measured**2 - by_seeds**2))


class Power:
    """`seeds`: numbers of seeds per arm that the table and the sentence compare."""

    title = "Power"
    needs = ("score",)

    def __init__(self, *, seeds: list[int]) -> None:
        if not seeds or min(seeds) < 2 or sorted(seeds) != seeds:
            raise ValueError(f"Power: seeds must be numbers of at least 2, rising, got {seeds!r}")
        self.seeds = seeds

    def render(self, study: Study) -> Section:
        points = with_counted(study)
        spreads = points.groupby("arm")["counted"].std(ddof=1).dropna()
        spread = math.sqrt(float((spreads**2).mean())) if len(spreads) else math.nan
        if len(study.arms) < 2 or not known(spread) or not spread > 0:
            return Section(
                [
                    Prose(
                        "What more seeds would resolve cannot be determined: "
                        + ("there is one recipe." if len(study.arms) < 2 else _no_spread(points))
                    )
                ]
            )
        asked = questions(study)
        n = max(2, len(study.seeds))
        return Section(
            [
                Prose(self._sentence(study, asked, spread, n)),
                self._figure(study, asked, spread, float(spreads.min()), float(spreads.max()), n),
            ]
        )

    def _sentence(self, study: Study, asked: list[Question], spread: float, n: int) -> str:
        two = next(one for one in asked if one.name == NOT_A_FACTOR)
        more = next((seeds for seeds in self.seeds if seeds >= 4 * n), 4 * n)
        sentence = (
            f"With the measured spread over seeds (sd {score_number(spread, 3)} in test"
            f" {study.metric}){_and_test_set(study)}, n = {n} seeds per recipe cannot resolve less"
            f" than {_size(two, spread, n)} between two recipes; n = {more} would resolve"
            f" {_size(two, spread, more)} (80 % power, two-sided .05, one test)."
        )
        factors = [one for one in asked if one.name != NOT_A_FACTOR]
        if factors:
            sentence += (
                " Between two levels of a factor:"
                f" {listing(f'{one.name} {_size(one, spread, n)}' for one in factors)}."
            )
            small = [
                one
                for one in factors
                if known(one.measured) and one.measured < one.resolved(n, spread)
            ]
            sentence += "".join(_what_would(study, one, n, spread) for one in small)
        if two.floor:
            sentence += (
                " The test set alone, however many seeds, leaves differences between the two best"
                f" recipes under {score_number(two.floor, 3)} unresolved."
            )
        return sentence

    def _figure(
        self, study: Study, asked: list[Question], spread: float, low: float, high: float, n: int
    ) -> Figure:
        picture = draw(
            lambda rasterized: _curves(study, asked, spread, n, max(self.seeds)), name="power"
        )
        two = next(one for one in asked if one.name == NOT_A_FACTOR)
        finding = (
            f"{n} seeds per recipe resolve {_size(two, spread, n)} between two recipes;"
            f" {self.seeds[-1]} would resolve {_size(two, spread, self.seeds[-1])}."
        )
        caption = (
            f"Smallest difference in mean test {study.metric} that a two-sided t test at .05 finds"
            " with 80 % power, against seeds per recipe; at the right, the largest differences"
            f" measured: filled where {n} seeds, as here, resolve them, hollow where they cannot be"
            " relied on. Spread over"
            f" seeds taken as {score_number(spread, 3)} everywhere; recipes lie between"
            f" {score_number(low, 3)} and {score_number(high, 3)}. The noise of the test set "
            + ("is added." if any(one.floor for one in asked) else "is not known and left out.")
        )
        rows: Rows = []
        for one in asked:
            tried = [
                Cell(_size(one, spread, seeds), one.resolved(seeds, spread)) for seeds in self.seeds
            ]
            rows.append(
                [one.name, *tried, score_number(one.measured, 3), _seeds_needed(one, spread)]
            )
        columns = [
            "difference between",
            *(f"n = {seeds}" for seeds in self.seeds),
            "largest measured",
            "seeds per recipe to resolve that",
        ]
        table = Table(
            columns,
            rows,
            "Smallest difference resolved, by seeds per recipe",
            f"80 % power at .05, in test {study.metric}; one test, not a family.",
        )
        return Figure(picture, caption, f"Power. {finding}", table, WIDTH, finding, HOW)


def questions(study: Study) -> list[Question]:
    """Two levels of each factor (those furthest apart), then two arms."""
    points = measured(study, "score")
    asked = []
    for factor, names in study.factors.items():
        gap: Gap | None = level_gap(
            points, "value", factor, names, [key for key in study.factors if key != factor]
        )
        if gap is not None:
            compared = match(study, points, {factor: gap.high}, {factor: gap.low}, {})
            name = (
                factor
                if len(names) == 2
                else f"{factor} ({level(factor, gap.high)}, {level(factor, gap.low)})"
            )
            asked.append(
                Question(
                    name,
                    list(compared.weights.values()),
                    len(compared.weights),
                    gap.difference.value,
                    _floor(study, compared.weights),
                )
            )
    best = points.groupby("arm")["value"].mean().sort_values(ascending=not study.higher_is_better)
    two = dict(zip(map(int, best.index[:2]), (1.0, -1.0), strict=False))
    return [*asked, Question(NOT_A_FACTOR, [1.0, -1.0], 2, math.nan, _floor(study, two))]


def _floor(study: Study, weights: Mapping[int, float]) -> float:
    """What the test set leaves unresolved of a difference; 0 if results by example are missing."""
    floor = floor_of_test_set(weighted_noise(study, weights))
    return floor if known(floor) else 0.0


def _and_test_set(study: Study) -> str:
    examples = len(by_example(study))
    return f" and the noise of a test set of {examples:,} examples" if examples else ""


def _seeds_needed(one: Question, spread: float) -> str:
    if not known(one.measured) or not one.measured > 0:
        return "n/a"
    need = one.seeds(spread)
    return (
        f"{need:,}"
        if need
        else "no number would"
        if one.measured <= one.floor
        else f"over {MAX_SEEDS:,}"
    )


def _what_would(study: Study, one: Question, n: int, spread: float) -> str:
    """What would resolve a measured difference that n seeds do not: seeds, or test examples."""
    start = (
        f" The largest difference measured for {one.name}, {score_number(one.measured, 3)}, is"
        " smaller than that;"
    )
    if need := one.seeds(spread):
        return f"{start} to resolve it would take {need:,} seeds per recipe."
    if one.measured > one.floor or not one.floor:
        return f"{start} to resolve it would take more than {MAX_SEEDS:,} seeds per recipe."
    now = len(by_example(study))
    start += (
        f" no number of seeds would resolve it, since the test set of {now:,} examples alone leaves"
        f" {score_number(one.floor, 3)} unresolved."
    )
    if not one.measured > 0:
        return start
    examples = one.examples(now, n, spread)
    if examples:
        return f"{start} About {_rounded(examples)} test examples would, with these seeds."
    least = math.ceil(now * (one.floor / one.measured) ** 2)
    return f"{start} It would take over {_rounded(least)} test examples, and more seeds too."


def _rounded(n: int) -> str:
    """Two significant digits: 12,345 is 12,000."""
    unit = 10 ** max(0, len(str(n)) - 2)
    return f"{round(n / unit) * unit:,}"


def _size(one: Question, spread: float, seeds: int) -> str:
    return score_number(one.resolved(seeds, spread), 3)


def _curves(study: Study, asked: list[Question], spread: float, n: int, most: int) -> Drawing:
    floor = next(one.floor for one in asked if one.name == NOT_A_FACTOR)
    figure, axes = panels(
        1, 2, width=WIDTH, height=3.6, left=0.75, right=1.75, top=0.35, bottom=0.5, gap=(2.3, 0)
    )
    axis, strip = axes[0]
    _widen(axis, strip)
    tried = [
        seeds for seeds in range(2, most + 1) if seeds <= 12 or seeds % 2 == 0 or seeds == most
    ]
    alike = _alike_curves(asked, tried, spread)
    lines: list[list[Any]] = []
    marks: list[list[Any]] = []
    for k, (curve, names) in enumerate(alike.items()):
        bold = NOT_A_FACTOR in names
        style = {"linestyle": DASHES[k % len(DASHES)], "linewidth": 2.0 if bold else 1.3}
        line = axis.plot(tried, curve, color=INK, **style)
        resolved = score_number(curve[tried.index(n)], 3) if n in tried else ""
        of_n = f": {n} seeds resolve {resolved}" if resolved else ""
        marked(line[0], Mark(f"{listing(names)}{of_n}"))
        lines.append([math.log10(curve[-1]), ", ".join(name.partition(" (")[0] for name in names)])
        marks += [
            [math.log10(one.measured), one.name, one.measured >= one.resolved(n, spread)]
            for one in asked
            if one.name in names and known(one.measured) and one.measured > 0
        ]
    values = [
        *(y for curve in alike for y in curve),
        *(10 ** mark[0] for mark in marks),
        *([floor] if floor > 0 else []),
    ]
    axis.axvline(n, color=SOFT, linewidth=0.8, dashes=(2, 2), zorder=0)
    axis.set(
        xscale="log",
        yscale="log",
        xlim=(1.85, most),
        ylim=(min(values) / 1.25, max(values) * 1.25),
        xlabel="seeds per recipe",
    )
    if floor > 0:
        axis.axhline(floor, color=SOFT, linewidth=0.8, zorder=0)
        lines.append([math.log10(floor), "limit of the test set, two best recipes"])
    axis.set_ylabel(f"resolved in test {study.metric}")
    _set_ticks(axis, most)
    _measured(axis, strip, marks)
    _names(axis, lines, most)
    return figure


def _widen(axis: Axes, strip: Axes) -> None:
    """Gives the curves the room that the strip of measured differences does not need."""
    whole, narrow = axis.get_position(), strip.get_position()
    width = 0.035
    axis.set_position((whole.x0, whole.y0, whole.width + narrow.width - width, whole.height))
    strip.set_position((narrow.x1 - width, narrow.y0, width, narrow.height))


def _measured(axis: Axes, strip: Axes, marks: list[list[Any]]) -> None:
    """The measured differences beside the curves, on the same scale."""
    strip.set(xscale="linear", yscale="log", ylim=axis.get_ylim(), xlim=(-1, 1))
    strip.set_title("measured", fontsize=8, loc="left")
    strip.set_xticks([])
    strip.tick_params(axis="y", which="both", length=0, labelleft=False)
    strip.yaxis.set_minor_locator(NullLocator())
    for y, name, resolved in marks:
        dot = strip.plot(
            [0],
            [10**y],
            "o",
            color=INK,
            markersize=5,
            markerfacecolor=INK if resolved else "none",
            zorder=4,
        )
        marked(dot[0], Mark(f"{name}: {score_number(10**y, 3)} measured"))
    _names(strip, [mark[:2] for mark in marks], 1.0)


def _alike_curves(
    asked: Sequence[Question], tried: Sequence[int], spread: float
) -> dict[tuple[float, ...], list[str]]:
    """Names of the questions by curve: factors with as many arms per level share one."""
    alike: dict[tuple[float, ...], list[str]] = {}
    for one in asked:
        curve = tuple(one.resolved(seeds, spread) for seeds in tried)
        key = next(
            (
                other
                for other in alike
                if all(math.isclose(a, b) for a, b in zip(curve, other, strict=True))
            ),
            curve,
        )
        alike.setdefault(key, []).append(one.name)
    return alike


def _set_ticks(axis: Axes, most: int) -> None:
    ticks = [tick for tick in (2, 3, 5, 8, 12, 20, 30, 50, 100) if tick <= most]
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_minor_locator(NullLocator())
    for compared in (axis.xaxis, axis.yaxis):
        compared.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _names(axis: Axes, ends: list[list[Any]], x: float) -> None:
    """Names to the right of (x, 10**y), moved apart so that they do not overlap."""
    low, high = (math.log10(end) for end in axis.get_ylim())
    ends = sorted(ends, key=lambda end: (end[0], end[1]))
    for before, after in itertools.pairwise(ends):
        after[0] = max(after[0], before[0] + 0.062 * (high - low))
    for y, name in ends:
        ground: dict[str, Any] = {
            "facecolor": PAPER,
            "edgecolor": "none",
            "pad": 0.8,
            "alpha": 0.85,
        }  # keeps a name readable on a line
        place: dict[str, Any] = {
            "xytext": (7, 0),
            "textcoords": "offset points",
            "va": "center",
            "annotation_clip": False,
        }
        axis.annotate(
            shorten(name, 40), (x, 10**y), fontsize=7.5, color=INK, bbox=ground, zorder=6, **place
        )


def _no_spread(points: pd.DataFrame) -> str:
    if (points.groupby("arm")["counted"].count() < 2).all():
        return "no recipe has two seeds with a score."
    return "the seeds of every recipe have the same score."
