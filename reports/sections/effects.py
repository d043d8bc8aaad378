"""Effects and interactions: how much of score and transport D each factor explains."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.analysis.arms import with_counted, with_interval
from reports.blocks import Cell, Figure, Notice, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.theme import INK, SLOTS, SOFT, colours, draw, markers, named_marks, panels
from reports.formatting import (
    count,
    known,
    level,
    levels,
    listing,
    number,
    percent,
    score_number,
    shorten,
)
from reports.statistics import Estimate, clamp, weighted_arms
from reports.statistics.variance_shares import HIGHER, Shares, shares

HOW_SHARES = (
    "A bar is the share of all differences between networks that one [factor|factor, level]"
    " explains, or two of them beyond what each does alone ([ω²|variance share]); the thin line is"
    " its interval. Grey is the spread between [seeds|seed] of one [arm]: where that is large, no"
    " recipe decides. On the left for the score, on the right for transport [D]: a factor that is"
    " long on one side and not on the other moves accuracy without moving [credit], or the reverse."
)
HOW_LINES = (
    "Each line joins the means of one level over the levels on the axis. Parallel lines mean that"
    " the two factors act apart from each other; lines that part or cross mean that what is best"
    " depends on the other one, and an average over it misleads. Small dots are the runs behind the"
    " means; a gap that is smaller than their spread is nothing to build on."
)
WIDTH = 10.0
SEED = 2026  # of the intervals' draws: the same store gives the same page
SEEDS = "seeds within arms"
MOST = 4  # panels side by side
SHOWN = 0.005  # share of variance above which the lower end of an interval counts as above 0


class Effects:
    """`draws`: draws per generalised confidence interval of the shares."""

    title = "Effects and interactions"
    needs = ("score",)

    def __init__(self, *, draws: int) -> None:
        self.draws = draws

    def render(self, study: Study) -> Section:
        if not study.factors:
            return Section([])
        points = with_counted(study)
        found = {
            text: shares_found
            for column, text in columns(study)
            if (
                shares_found := shares(
                    points, column, study.arms, list(study.factors), draws=self.draws, seed=SEED
                )
            )
        }
        blocks: list[object] = []
        if found:
            blocks += [Prose(_sentence(found)), _shares(found)]
        else:
            why = (
                "one seed per arm leaves no spread over seeds to compare effects with, or nothing"
                " varies"
            )
            blocks.append(Notice(f"Shares of variance cannot be determined: {why}.", "plain"))
        if len(study.factors) > 1:
            blocks.append(_interactions(study, points, found))
        return Section(blocks, {"shares": _frame(found)} if found else {})


def columns(study: Study) -> list[tuple[str, str]]:
    """Measures whose variance is explained: column of the points, name on the page."""
    known_D = study.stored["D"].notna().any()
    return [
        ("counted", f"test {study.metric}"),
        *([("D", "transport D at the end")] if known_D else []),
    ]


def _sentence(found: dict[str, Shares]) -> str:
    parts = []
    for text, shares_found in found.items():
        shown = sorted(
            (one for one in shares_found.terms if one.share.low > SHOWN),
            key=lambda one: -one.share.value,
        )
        shares_of = "; ".join(
            f"{one.name} {percent(one.share.value)} [{percent(one.share.low)},"
            f" {percent(one.share.high)}]"
            for one in shown
        )
        rest = (
            f"the spread over seeds {percent(shares_found.seeds.value)}"
            f" [{percent(shares_found.seeds.low)}, {percent(shares_found.seeds.high)}]"
        )
        lead = (
            f"The variance of {text} over {count(shares_found.n, 'point')} is explained by"
            f" {shares_of}; {rest}."
            if shares_of
            else (
                f"Of the variance of {text} over {count(shares_found.n, 'point')} no term's share"
                f" is shown to be above 0; {rest}."
            )
        )
        parts.append(lead)
    tops = {
        text: max(shares_found.terms, key=lambda one: one.share.value).name
        for text, shares_found in found.items()
        if any(one.share.low > SHOWN for one in shares_found.terms)
    }
    if len(tops) == 2:
        (a, first), (b, second) = tops.items()
        parts.append(
            f"{first} has the largest share of both."
            if first == second
            else f"What moves {b} most ({second}) is not what moves {a} most ({first})."
        )
    if any(not shares_found.whole for shares_found in found.values()):
        parts.append("Combinations are missing, so terms overlap and shares need not add up.")
    return " ".join(parts)


def _shares(found: dict[str, Shares]) -> Figure:
    names = list(
        dict.fromkeys(one.name for shares_found in found.values() for one in shares_found.terms)
    )
    order = [
        *(name for name in names if name != HIGHER),
        *([HIGHER] if HIGHER in names else []),
        SEEDS,
    ]
    picture = draw(lambda rasterized: _bars(found, order), name="shares")
    tops = []
    for text, shares_found in found.items():
        top = max(shares_found.terms, key=lambda one: one.share.value)
        tops.append(
            f"{percent(top.share.value)} [{percent(top.share.low)}, {percent(top.share.high)}] of"
            f" the variance of {text} goes with {top.name}"
        )
    finding = f"{'; '.join(tops)}."
    finding = finding[0].upper() + finding[1:]
    caption = (
        "Share of all variance, corrected for what the spread over seeds alone would show (ω², 0 at"
        " least), with 95 % intervals (generalised confidence). A term is what its factors do"
        " beyond their single effects. Points that diverged count."
    )
    return Figure(
        picture,
        caption,
        f"Shares of variance. {finding}",
        _table(found),
        WIDTH,
        finding,
        HOW_SHARES,
    )


def _bars(found: dict[str, Shares], order: Sequence[str]) -> Drawing:
    left = min(3.6, 0.5 + 0.068 * max(map(len, order)))
    figure, axes = panels(
        1,
        len(found),
        width=WIDTH,
        height=0.85 + 0.24 * len(order),
        left=left,
        right=0.3,
        top=0.3,
        bottom=0.5,
        gap=(0.35, 0),
    )
    for j, (text, shares_found) in enumerate(found.items()):
        axis = axes[0, j]
        estimates = {one.name: one.share for one in shares_found.terms} | {
            SEEDS: shares_found.seeds
        }
        for y, name in enumerate(order):
            one = estimates.get(name)
            if one is None:
                axis.text(0.01, y, "cannot be determined", color=SOFT, fontsize=7, va="center")
                continue
            colour = (
                SLOTS[9] if name in (SEEDS, HIGHER) else SLOTS[0] if " × " not in name else SLOTS[3]
            )
            axis.barh(y, one.value, height=0.62, color=colour, alpha=0.75, linewidth=0)
            axis.plot([one.low, one.high], [y, y], color=INK, linewidth=1.1)
            axis.text(
                min(one.high, 1) + 0.015,
                y,
                percent(one.value),
                fontsize=7.5,
                va="center",
                color=INK,
            )
        axis.set(xlim=(0, 1.12), ylim=(len(order) - 0.5, -0.5), title=text)
        axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
        axis.set_yticks(range(len(order)), [shorten(name, 46) for name in order] if j == 0 else [])
        axis.tick_params(axis="y", length=0)
    figure.text(
        (left + WIDTH - 0.3) / 2 / WIDTH,
        0.01,
        "share of variance (ω²)",
        ha="center",
        va="bottom",
        fontsize=8.5,
    )
    return figure


def _table(found: dict[str, Shares]) -> Table:
    rows: Rows = []
    for text, shares_found in found.items():
        for one in shares_found.terms:
            rows.append(
                [
                    one.name,
                    text,
                    _share(one.share),
                    f"{with_interval(one.size, 3)}",
                    number(one.F),
                    str(one.df),
                    str(shares_found.n),
                ]
            )
        rows.append(
            [
                SEEDS,
                text,
                _share(shares_found.seeds),
                f"sd {score_number(shares_found.spread, 3)}",
                "",
                "",
                str(shares_found.n),
            ]
        )
    columns = [
        "term",
        "of",
        "share, 95 % interval",
        "typical size (rms), 95 % interval",
        "F",
        "degrees of freedom",
        "n",
    ]
    notes = (
        "Typical size: root mean square of the term over the arms, in the units of what it is of."
        " Noise alone has a share of 0 on average. Kept as tables/shares.parquet."
    )
    return Table(columns, rows, "Shares of variance", notes)


def _share(estimate: Estimate) -> Cell:
    return Cell(
        f"{percent(estimate.value)} [{percent(estimate.low)}, {percent(estimate.high)}]",
        estimate.value,
    )


def _frame(found: dict[str, Shares]) -> pd.DataFrame:
    rows = []
    for text, shares_found in found.items():
        rows += [
            {
                "of": text,
                "term": one.name,
                "df": one.df,
                "F": one.F,
                "share": one.share.value,
                "low": one.share.low,
                "high": one.share.high,
                "size": one.size.value,
            }
            for one in shares_found.terms
        ]
        rows.append(
            {
                "of": text,
                "term": SEEDS,
                "df": 0,
                "F": math.nan,
                "share": shares_found.seeds.value,
                "low": shares_found.seeds.low,
                "high": shares_found.seeds.high,
                "size": shares_found.spread,
            }
        )
    return pd.DataFrame(rows)


# --- interactions ---


def _interactions(study: Study, points: pd.DataFrame, found: dict[str, Shares]) -> Figure:
    line_key, x_key = study.matrix_factors
    by = _panels(study)
    marks = [
        mark for column, text in columns(study) for mark in _marks(study, points, column, text, by)
    ]
    picture = draw(lambda rasterized: _lines(study, points, marks, by), name="interactions")
    finding = " ".join(
        _crossing(study, points, column, text, found.get(text)) for column, text in columns(study)
    )
    pooled = [key for key in study.other_factors if key not in (by[0] if by else {})]
    over = f" Averaged over {listing(pooled)}." if pooled else ""
    caption = (
        f"Means with 95 % intervals over seeds, arms weighing equally; lines: {line_key}; small"
        f" dots: the runs.{over} Bars that reach the frame continue beyond it. Parallel lines would"
        f" mean that {x_key} does the same to every {line_key}."
    )
    rows: Rows = [
        [
            level(line_key, mark["line"]),
            level(x_key, mark["x"]),
            levels(mark["panel"]) if mark["panel"] else "all",
            mark["text"],
            Cell(f"{with_interval(mark['mean'], 3)}", mark["mean"].value),
            str(mark["mean"].n),
        ]
        for mark in marks
    ]
    table = Table(
        [line_key, x_key, "at", "of", "mean, 95 % interval", "n"], rows, "Means behind the lines"
    )
    return Figure(
        picture,
        caption,
        f"Interaction of {line_key} and {x_key}. {finding}",
        table,
        WIDTH,
        finding,
        HOW_LINES,
    )


def _panels(study: Study) -> list[dict[str, str]]:
    """Combinations of the other factors, as many as fit side by side."""
    keys: list[str] = []
    for key in study.other_factors:
        if len(study.combinations([*keys, key])) <= MOST:
            keys.append(key)
    there = study.arms
    return [panel for panel in study.combinations(keys) if _any(there, panel)]


def _any(arms: pd.DataFrame, panel: dict[str, str]) -> bool:
    return (
        bool(
            np.logical_and.reduce(
                [arms[key] == name for key, name in panel.items()], initial=True
            ).any()
        )
        if panel
        else True
    )


def _marks(
    study: Study, points: pd.DataFrame, column: str, text: str, by: Sequence[dict[str, str]]
) -> list[dict]:
    line_key, x_key = study.matrix_factors
    known_points = points[points[column].notna()]
    listed = set(study.for_listing(points)["id"])
    marks = []
    for panel in by:
        here = (
            known_points[
                np.logical_and.reduce(
                    [known_points[key] == name for key, name in panel.items()], initial=True
                )
            ]
            if panel
            else known_points
        )
        for line in study.levels(line_key):
            for x in study.levels(x_key):
                own = here[(here[line_key] == line) & (here[x_key] == x)]
                arms = sorted(own["arm"].unique())
                if arms:
                    mean = weighted_arms(own, column, {arm: 1 / len(arms) for arm in arms})
                    mean = clamp(mean, *study.score_range) if column == "counted" else mean
                    runs = own.loc[own["id"].isin(listed), column].astype(float).tolist()
                    marks.append(
                        {
                            "panel": panel,
                            "line": line,
                            "x": x,
                            "text": text,
                            "column": column,
                            "mean": mean,
                            "runs": runs,
                        }
                    )
    return marks


def _crossing(
    study: Study, points: pd.DataFrame, column: str, text: str, shares_found: Shares | None
) -> str:
    """The interaction's share of variance, and the best level of x for each line.

    Levels are compared over arms that are alike in everything else.
    """
    line_key, x_key = study.matrix_factors
    higher = study.higher_is_better or column == "D"
    share = (
        next(
            (one.share for one in shares_found.terms if set(one.factors) == {line_key, x_key}), None
        )
        if shares_found
        else None
    )
    if share is None or shares_found is None:
        sentence = (
            f"Whether {x_key} acts alike on {text} in every {line_key} cannot be determined from"
            " the arms that are there"
        )
    else:
        size = f"{percent(share.value)} [{percent(share.low)}, {percent(share.high)}]"
        shown = share.low > SHOWN
        sentence = (
            f"{line_key} × {x_key} explains {size} of the variance of {text}"
            if shown
            else f"no interaction is shown in {text} ({line_key} × {x_key}: {size})"
        )
    best_of_lines = []
    for line in study.levels(line_key):
        means = _alike(study, points, column, line)
        if len(means) > 1:
            best = (max if higher else min)(means, key=lambda x: means[x])
            best_of_lines.append(
                f"{level(line_key, line)} {level(x_key, best)} {score_number(means[best])}"
            )
    sentence += (
        f"; {'highest' if higher else 'lowest'} mean: {', '.join(best_of_lines)}."
        if best_of_lines
        else "."
    )
    return f"{sentence[0].upper()}{sentence[1:]}"


def _alike(study: Study, points: pd.DataFrame, column: str, line: str) -> dict[str, float]:
    """Mean at each level of x for one line, over settings of the other factors that have all
    levels.

    With other arms, settings would be compared and not levels.
    """
    line_key, x_key = study.matrix_factors
    own = points[(points[line_key] == line) & points[column].notna()]
    keys = [key for key in study.factors if key not in (line_key, x_key)]
    means = own.groupby([x_key, *keys], sort=False)[column].mean()
    table = means.unstack(x_key) if keys else means.to_frame().T
    if table.empty:
        return {}
    fullest = table.iloc[[int(table.notna().sum(axis=1).to_numpy().argmax())]]
    shared = [x for x in study.levels(x_key) if x in table and fullest[x].notna().all()]
    return {x: float(value) for x, value in table[shared].dropna().astype(float).mean().items()}


def _lines(
    study: Study, points: pd.DataFrame, marks: list[dict], by: Sequence[dict[str, str]]
) -> Drawing:
    line_key, x_key = study.matrix_factors
    names, xs, texts = (
        study.levels(line_key),
        study.levels(x_key),
        list(dict.fromkeys(mark["text"] for mark in marks)),
    )
    ink, shape = colours(names), markers(names)
    long = max(len(level(x_key, x)) for x in xs) * len(xs) * len(by) > 90
    bottom = 0.78 if long else 0.35
    figure, axes = panels(
        len(texts),
        len(by),
        width=WIDTH,
        height=0.45 + bottom + 2.15 * len(texts),
        left=0.75,
        right=1.25,
        top=0.3,
        bottom=bottom,
        gap=(0.15, 0.2),
    )
    for i, text in enumerate(texts):
        of_text = [mark for mark in marks if mark["text"] == text]
        values = [run for mark in of_text for run in mark["runs"]]
        pad = 0.06 * ((max(values) - min(values)) or 1)
        for j, panel in enumerate(by):
            axis = axes[i, j]
            for k, name in enumerate(names):
                shift = (k - (len(names) - 1) / 2) * 0.5 / max(1, len(names))
                own = {
                    mark["x"]: mark
                    for mark in of_text
                    if mark["panel"] == panel and mark["line"] == name
                }
                at = [(xs.index(x) + shift, mark) for x, mark in own.items()]
                _line(axis, at, ink[name], shape[name])
            axis.set(xlim=(-0.5, len(xs) - 0.5), ylim=(min(values) - pad, max(values) + pad))
            labels = [shorten(level(x_key, x), 18) for x in xs] if i == len(texts) - 1 else []
            turned = {"rotation": 30, "ha": "right"} if long and labels else {}
            axis.set_xticks(range(len(xs)), labels, **turned)
            if i == 0 and panel:
                axis.set_title(levels(panel))
            if j:
                axis.tick_params(labelleft=False)
            else:
                axis.set_ylabel(text)
    named_marks(
        figure, [(level(line_key, name), ink[name], shape[name]) for name in names], WIDTH - 1.25
    )
    return figure


def _line(axis: Axes, at: Sequence[tuple[float, dict]], colour: str, marker: str) -> None:
    """One line of an interaction plot: means, their intervals, and the runs."""
    axis.plot(
        [x for x, _ in at],
        [mark["mean"].value for _, mark in at],
        color=colour,
        linewidth=1.3,
        alpha=0.85,
        zorder=2,
    )
    for x, mark in at:
        if known(mark["mean"].low):
            axis.plot(
                [x, x],
                [mark["mean"].low, mark["mean"].high],
                color=colour,
                linewidth=3.2,
                alpha=0.3,
                solid_capstyle="butt",
                zorder=1,
            )
        axis.plot(
            [x] * len(mark["runs"]),
            mark["runs"],
            "o",
            color=colour,
            markersize=1.9,
            alpha=0.9,
            markeredgewidth=0,
            zorder=2,
        )
        axis.plot(
            [x],
            [mark["mean"].value],
            marker,
            color=colour,
            markersize=4.6,
            markeredgewidth=0,
            zorder=3,
        )
