"""Does D predict success here? AUC and rank correlation, over all and within each factor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from reports.analysis.arms import WORST, with_counted
from reports.analysis.associations import (
    Association,
    association_at,
    association_words,
    at_share,
    prediction_words,
    words,
)
from reports.analysis.marks import point_marks
from reports.blocks import Cell, Figure, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.marks import marked
from reports.figures.theme import SOFT, colours, draw, markers, panels
from reports.findings.finding import HOLDS, MIXED, OPPOSITE
from reports.formatting import count, interval, known, level, number, percent, score_number
from reports.statistics import Estimate, Prediction
from study.records import OUTCOMES

HOW = (
    "A mark is one [network]; across: the [remaining gradient] at the judged [lag] (in"
    " powers of ten), up: its test score. If it predicted success, the marks would rise"
    " from left to right and the shapes (outcomes) would stand apart. [AUC] and [rank"
    " correlation] say how well they do; an interval that holds .5 (or 0) says that it is not"
    " shown here."
)


LINEAR = (
    4.0  # decades: the axis is linear up to here, where the classes lie, and logarithmic beyond
)


@dataclass(frozen=True)
class Found:
    """One prediction, with D at a share of the run.

    `level` of `key`: within this level. `key` alone: networks are compared within its levels. No
    `key`: over all points, which decides nothing.
    """

    key: str | None
    level: str | None
    share: float
    prediction: Prediction

    @property
    def own_rho(self) -> bool:
        """Whether the rank correlation is of these points; blocks are for the AUC alone."""
        return self.key is None or self.level is not None

    @property
    def points(self) -> str:
        if self.key is None:
            return "all networks, pooled"
        return (
            f"compared within {self.key}"
            if self.level is None
            else f"within {level(self.key, self.level)}"
        )


class Predicts:
    """`at`: shares of the run at which D is read; `draws`: draws of the bootstrap over arms."""

    title = "Does the remaining gradient predict success here?"
    needs = ("D", "outcome")

    def __init__(self, *, at: list[float], draws: int) -> None:
        if not at or not all(0 <= share <= 1 for share in at):
            raise ValueError(f"Predicts: at must be shares from 0 to 1, got {at!r}")
        self.at, self.draws = at, draws

    def render(self, study: Study) -> Section:
        points = with_counted(study)
        D = {share: at_share(study, share) for share in self.at}
        found = {share: association_at(study, share, self.draws) for share in self.at}
        text = prediction_words(study, self.at[-1], _when(self.at[-1]), self.draws)
        early = self._early(found)
        text += f" {early}" if early else ""
        if "AUC" in text:
            text += (
                " This is correlation over networks that differ in more than their gradient;"
                " nothing was stopped because of a verdict."
            )
        rows = self._found(study, found)
        # What is said of all points at once decides nothing: they differ in their structure.
        last = prediction_words(study, self.at[-1], _when(self.at[-1]), self.draws, brief=True)
        return Section(
            [Prose(text), self._figure(study, points, D, found), self._table(rows)],
            {"prediction": _frame(rows)},
            last,
        )

    def _found(self, study: Study, found: dict[float, Association]) -> list[Found]:
        """Predictions at every share: pooled, within each factor, at each level of the first."""
        rows = [Found(None, None, share, one.pooled) for share, one in found.items()]
        for key in study.factors:
            rows += [Found(key, None, share, one.within[key]) for share, one in found.items()]
        key = study.matrix_factors[0]
        for name in study.levels(key) if key in study.factors else []:
            rows += [
                Found(key, name, share, one.levels[key][name])
                for share, one in found.items()
                if key in one.levels
            ]
        return rows

    def _early(self, found: dict[float, Association]) -> str:
        parts = []
        for share in self.at[:-1]:
            one = found[share]
            if not known(one.pooled.auc.value) or one.too_few:
                continue
            said = {
                HOLDS: "it goes with success within every factor",
                OPPOSITE: "it goes against success within every factor",
                MIXED: "it goes with success at some levels and against it at others",
            }.get(one.word, "it is not shown to go with success")
            parts.append(f"{_when(share)} {said} ({association_words(one)})")
        text = "; ".join(parts)
        return f"{text[0].upper()}{text[1:]}." if text else ""

    def _table(self, found: list[Found]) -> Table:
        rows: Rows = []
        for one_found in found:
            one, text = one_found.prediction, one_found.points
            sentence = {
                True: "predictive" if one.auc.value > 0.5 else "inversely",
                False: "not shown",
                None: "cannot be determined",
            }[one.predictive]
            rows.append(
                [
                    text,
                    _when(one_found.share),
                    _value(one, "auc"),
                    _value(one, "rho") if one_found.own_rho else "–",
                    sentence,
                    f"{one.auc.n} ({count(one.arms, 'recipe')})",
                    str(one.successes),
                ]
            )
        columns = [
            "networks",
            "gradient read",
            "AUC for solved",
            "Spearman with score",
            "AUC apart from .5",
            "n",
            "solved",
        ]
        notes = (
            f"95 % percentile interval of a bootstrap over recipes (at least {self.draws:,} draws,"
            " and more where the draws would decide); none below 5 recipes, 5 networks of either"
            " outcome"
            " or 2 recipes that have it, of the levels that have both outcomes. AUC .5 is chance."
            " Pooled over cells or initializers it may show what differs between these; what is"
            " said rests on networks compared within each factor. Kept as"
            " tables/prediction.parquet of the study."
        )
        return Table(columns, rows, "How well the remaining gradient predicts success", notes)

    def _figure(
        self,
        study: Study,
        points: pd.DataFrame,
        D: dict[float, pd.Series],
        found: dict[float, Association],
    ) -> Figure:
        key, points = study.matrix_factors[0], study.for_listing(points)
        overall = {share: one.pooled for share, one in found.items()}
        ink, shape = colours(study.levels(key)), markers(OUTCOMES)
        picture = draw(
            lambda rasterized: _scatter(study, points, D, key, ink, shape, rasterized),
            name="predicts",
        )
        best = max(
            self.at,
            key=lambda share: (
                abs(overall[share].rho.value) if known(overall[share].rho.value) else -1
            ),
        )
        rho = overall[best].rho
        correlations = "; ".join(f"{_when(share)} {words(overall[share].rho)}" for share in self.at)
        few = (
            f"A rank correlation of the remaining gradient with test {study.metric} has no"
            f" interval here: {_why_no_correlation(overall[best], points)}."
        )
        finding = (
            f"Rank correlation of the remaining gradient with test {study.metric} over all"
            f" networks (positive: the more is left, the better the score): {correlations}."
            if any(known(one.rho.low) for one in overall.values())
            else few
        )
        caption = (
            f"One mark per network (n = {min(rho.n, len(points))}); colour: {key}; shape: outcome;"
            f" lost networks stand at {WORST}. Brackets: 95 % interval,"
            " bootstrap over recipes."
        )
        rows = [
            [
                row["id"],
                *[number(D[share].get(row["id"], np.nan)) for share in self.at],
                score_number(row["counted"], 3),
                row["outcome"] or "–",
            ]
            for _, row in points.iterrows()
        ]
        table = Table(
            ["network", *(f"left {_when(share)}" for share in self.at), "score", "outcome"],
            rows,
            "The marks",
        )
        return Figure(
            picture,
            caption,
            f"Remaining gradient against success. {finding}",
            table,
            10.0,
            finding,
            HOW,
        )


def _frame(found: list[Found]) -> pd.DataFrame:
    """One row per prediction, as kept in the store."""
    rows = []
    for one in found:
        estimates = {
            f"{name}{end}": value
            for name, estimate in (("auc", one.prediction.auc), ("spearman", one.prediction.rho))
            for end, value in (
                ("", estimate.value),
                ("_low", estimate.low),
                ("_high", estimate.high),
            )
        }
        counts = {
            "n": one.prediction.auc.n,
            "arms": one.prediction.arms,
            "solved": one.prediction.successes,
            "predictive": one.prediction.predictive,
        }
        rows.append(
            {"factor": one.key, "level": one.level, "share": one.share, **estimates, **counts}
        )
    return pd.DataFrame(rows).astype(
        {"factor": "string", "level": "string", "predictive": "boolean"}
    )


def _scatter(
    study: Study,
    points: pd.DataFrame,
    D: dict[float, pd.Series],
    key: str,
    ink: dict[str, str],
    shape: dict[str, str],
    rasterized: bool,
) -> Drawing:
    figure, axes = panels(
        1, len(D), width=10, height=3.3, left=0.62, right=1.35, top=0.3, bottom=0.5, gap=(0.18, 0)
    )
    low_D, high_D = _span(points, D)
    beyond = f"log scale beyond ±{LINEAR:g}; " if low_D < -LINEAR else ""
    ticks = [
        tick
        for tick in (-256, -64, -16, *((-8,) if low_D > -24 else ()), -4, -2, 0, 2, 4, 16)
        if 1.12 * low_D <= tick <= high_D
    ]
    for j, (share, values) in enumerate(D.items()):
        axis = axes[0, j]
        x = points["id"].map(values).astype(float)
        _marks(study, axis, x, points, key, ink, shape, rasterized)
        for limit in (study.health.get("vanishing"), study.health.get("fading")):
            if limit is not None:
                axis.axvline(float(limit), color=SOFT, linewidth=0.7, dashes=(2, 2), zorder=0)
        axis.set_xscale("symlog", linthresh=LINEAR)
        axis.set_xticks(ticks, [f"{tick}".replace("-", "−") for tick in ticks])
        axis.minorticks_off()
        axis.set_xlim(1.12 * low_D, max(1.12 * high_D, high_D + 0.3))
        axis.set_title(_when(share), fontsize=8.5)
        if j:
            axis.tick_params(labelleft=False)
    low, high = points["counted"].min(), points["counted"].max()
    for axis in axes[0]:
        pad = 0.05 * (high - low or 1)
        axis.set_ylim(low - pad, high + pad)
    axes[0, 0].set_ylabel(f"test {study.metric}")
    figure.text(
        0.5 * (0.62 + 10 - 1.35) / 10,
        0.02,
        f"remaining gradient at the judged lag, powers of ten ({beyond}dashed: limits of fading and"
        " vanishing)",
        ha="center",
        va="bottom",
        fontsize=8.5,
    )
    _legend(figure, points, key, ink, shape)
    return figure


def _span(points: pd.DataFrame, D: dict[float, pd.Series]) -> tuple[float, float]:
    """Lowest and highest D at any share, and the classes in any case."""
    every = np.concatenate(
        [points["id"].map(values).to_numpy(dtype=float) for values in D.values()]
    )
    every = every[np.isfinite(every)]
    return (
        (min(float(every.min()), -4.0), max(float(every.max()), 0.0)) if len(every) else (-4.0, 0.0)
    )


def _marks(
    study: Study,
    axis: Axes,
    x: pd.Series,
    points: pd.DataFrame,
    key: str,
    ink: dict[str, str],
    shape: dict[str, str],
    rasterized: bool,
) -> None:
    """A mark per point; colour by level, shape by outcome."""
    for name, colour in ink.items():
        for outcome, marker in shape.items():
            own = (points[key] == name) & (points["outcome"] == outcome)
            if own.any():
                dots = axis.plot(
                    x[own],
                    points.loc[own, "counted"],
                    marker,
                    color=colour,
                    markersize=4.2,
                    alpha=0.8,
                    markeredgewidth=0,
                    linestyle="none",
                    rasterized=rasterized,
                )
                texts = [
                    f"remaining gradient {number(d, 1)}, test {study.metric}"
                    f" {score_number(score, 3)}, {outcome}"
                    for d, score in zip(x[own], points.loc[own, "counted"], strict=True)
                ]
                marked(dots[0], *point_marks(study, points[own], texts))


def _legend(
    figure: Drawing, points: pd.DataFrame, key: str, ink: dict[str, str], shape: dict[str, str]
) -> None:
    used = [name for name in shape if (points["outcome"] == name).any()]
    lines = [(name, ink[name], "o") for name in ink] + [(name, SOFT, shape[name]) for name in used]
    for at, (name, colour, marker) in enumerate(lines):
        y = 0.88 - 0.075 * at - (0.04 if at >= len(ink) else 0)
        figure.add_artist(_mark(8.82 / 10, y, marker, colour))
        figure.text(
            8.92 / 10, y, level(key, name) if at < len(ink) else name, fontsize=8, va="center"
        )


def _mark(x: float, y: float, marker: str, colour: str) -> Line2D:
    return Line2D(
        [x], [y], marker=marker, color=colour, markersize=5, linestyle="none", markeredgewidth=0
    )


def _value(found: Prediction, name: str) -> Cell:
    one = getattr(found, name)
    return Cell(words(one), one.value if known(one.value) else None)


def _brief(estimate: Estimate) -> str:
    """The value, with its interval if there is one."""
    return number(estimate.value) + (
        f" {interval(estimate.low, estimate.high)}" if known(estimate.low) else ""
    )


def _when(share: float) -> str:
    return (
        "at initialization"
        if share == 0
        else "at the end"
        if share >= 1
        else f"at {percent(share)} of the updates"
    )


def _why_no_correlation(one: Prediction, points: pd.DataFrame) -> str:
    if points["counted"].nunique() < 2:
        return "every network has the same score"
    return (
        f"{count(one.arms, 'recipe')} with gradient and score {'is' if one.arms == 1 else 'are'}"
        " too few, or the gradient is the same in too many"
    )
