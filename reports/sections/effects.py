"""Effects and interactions: how much of score and transport D each factor explains."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports.analysis.adopted import lost_words
from reports.analysis.arms import with_counted, with_interval
from reports.analysis.effect_words import (
    IN_RESULTS,
    close_words,
    confounding_words,
    dependence_words,
    differ_in_results,
    explains,
    measure_text,
    share_words,
)
from reports.analysis.marks import level_mark, point_marks
from reports.analysis.terms_shown import TOO_CLOSE, Decided, TermsShown, corrected_p, terms_shown
from reports.blocks import Cell, Figure, Notice, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.effects import SEEDS, WIDTH, bars_of_shares, lines_of_means
from reports.figures.hues import hues
from reports.figures.theme import draw
from reports.formatting import count, known, level, levels, listing, number, percent, score_number
from reports.statistics import Estimate, clamp, weighted_arms
from reports.statistics.variance_shares import HIGHER, Share, Shares

HOW_SHARES = (
    "A bar is the share of all differences between networks that one [factor|factor, level]"
    " explains, or two of them beyond what each does alone ([ω²|variance share]); the thin line is"
    " its interval. The palest is the spread between [seeds|seed] of one [recipe]: where that is"
    " large,"
    " no recipe decides. What the recipes that are there cannot tell apart has one bar together,"
    " called confounded."
)
TWO_SIDES = (
    " On the left for the score, on the right for the [remaining gradient]: a factor that is long"
    " on one side"
    " and not on the other moves accuracy without moving the gradient, or the reverse."
)
HOW_LINES = (
    "Each line joins the means of one level over the levels on the axis. Parallel lines mean that"
    " the two factors act apart from each other; lines that part or cross mean that what is best"
    " depends on the other one, and an average over it misleads. Small dots are the networks behind"
    " the means; a gap that is smaller than their spread is nothing to build on."
)
LARGE, LEAST = 0.1, 0.01  # shares that are told though not shown; that can be the largest
MOST = 4  # panels side by side


class Effects:
    title = "Effects and interactions"
    needs = ("score",)

    def render(self, study: Study) -> Section:
        if not study.factors:
            return Section([])
        points = with_counted(study)
        terms = {text: of for by, text in measures(study) if (of := terms_shown(study, by))}
        found = {text: of.shares for text, of in terms.items() if of.shares}
        blocks: list[object] = []
        if found:
            blocks += [Prose(_sentence(study, terms, found)), _shares(study, terms, found)]
        else:
            why = (
                "one seed per recipe leaves no spread over seeds to compare effects with, or"
                " nothing varies"
            )
            blocks.append(Notice(f"Shares of variance cannot be determined: {why}.", "plain"))
        if len(study.factors) > 1:
            blocks.append(_interactions(study, points, terms))
        return Section(blocks, {"shares": _frame(terms, found)} if found else {})


def measures(study: Study) -> list[tuple[str, str]]:
    """Measures whose variance is explained: name of the measure, name on the page."""
    known_D = study.stored["D"].notna().any()
    return [(by, measure_text(study, by)) for by in ("score", *(["D"] if known_D else []))]


def columns(study: Study) -> list[tuple[str, str]]:
    """The same measures: column of the points, name on the page."""
    return [("counted" if by == "score" else by, text) for by, text in measures(study)]


def _sentence(study: Study, terms: dict[str, TermsShown], found: dict[str, Shares]) -> str:
    parts: list[str] = []
    told: list[object] = []
    for text, shares_found in found.items():
        of = terms[text]
        shown = sorted((one for one in of.terms if one.shown), key=lambda one: -one.share.value)
        together = [_named_share(one) for one in of.together]
        listed = [f"{one.name} {explains(one).removeprefix('explains ')}" for one in shown]
        rest = f"the spread over seeds {share_words(shares_found.seeds)}"
        over = f"the variance of {text} over {count(shares_found.n, 'network')}"
        parts.append(
            f"{over} is explained by {'; '.join([*listed, *together])}; {rest}."
            if listed or together
            else f"Of {over} no term is shown to explain any; {rest}."
        )
        alone = differ_in_results(study) if text == measure_text(study, "score") else []
        if alone:
            parts.append(f"In {text}, levels of {listing(alone)} differ {IN_RESULTS}.")
        shown_names = {one.name for one in shown} | {one.name for one in of.together}
        unsure = [
            f"{one.name} {share_words(one.share)}"
            for one in shares_found.terms
            if one.name not in shown_names and one.share.value >= LARGE
        ]
        if unsure:
            are = "is" if len(unsure) == 1 else "are"
            parts.append(f"In {text} {listing(unsure)} {are} large by the estimate and not shown.")
        close = [
            f"{one.name} is {close_words(one.decided)}" for one in of.terms if one.decided.too_close
        ]
        if close:
            parts.append(f"In {text}, {listing(close)}.")
        islands = [one.islands for one in of.confounded]
        if islands not in told:  # mostly the same arms have both measures
            parts += confounding_words(study, of)
        told.append(islands)
        parts += dependence_words(study, of)
    parts += _compared(terms, found) + _overlap(found)
    return " ".join(part[0].upper() + part[1:] for part in parts)


def _named_share(one: Share) -> str:
    return f"{one.name} {share_words(one.share)}"


def _compared(terms: dict[str, TermsShown], found: dict[str, Shares]) -> list[str]:
    """Whether the same term has the largest share of both measures."""
    tops = {
        text: max(own, key=lambda one: one.share.value).name
        for text in found
        if (own := [one for one in terms[text].terms if one.shown and one.share.value >= LEAST])
    }
    if len(tops) < 2:
        return []
    (a, first), (b, second) = tops.items()
    return [
        f"By the estimates {first} has the largest share of both."
        if first == second
        else f"By the estimates what moves {b} most ({second}) is not what moves {a} most"
        f" ({first})."
    ]


def _overlap(found: dict[str, Shares]) -> list[str]:
    if all(of.whole for of in found.values()):
        return []
    left = [f"{percent(of.rest)} of {text}" for text, of in found.items() if of.rest >= 0.01]
    return [
        "Combinations are missing, so terms overlap and shares need not add up"
        + (f": {listing(left)} could go with more than one." if left else ".")
    ]


def _shares(study: Study, terms: dict[str, TermsShown], found: dict[str, Shares]) -> Figure:
    names = {one.name: one for of in found.values() for one in of.terms}
    order = [*sorted(names, key=lambda name: (not names[name].factors, name == HIGHER)), SEEDS]
    picture = draw(lambda rasterized: bars_of_shares(found, order), name="shares")
    tops = []
    for text, of in found.items():
        names_shown = {one.name for one in terms[text].terms if one.shown}
        sure = [one for one in of.terms if one.name in names_shown or one in terms[text].together]
        top = max(sure, key=lambda one: one.share.value, default=None)
        tops.append(
            f"no term is shown to explain any of the variance of {text}"
            if top is None
            else f"what is shown ({listing([one.name for one in sure])}) explains under 1 % of the"
            f" variance of {text}"
            if top.share.value < LEAST
            else f"{share_words(top.share)} of the variance of {text} goes with {top.name},"
            " the most of the terms that are shown"
        )
    finding = f"{'; '.join(tops)}."
    finding = finding[0].upper() + finding[1:]
    caption = (
        "Share of all variance, corrected for what the spread over seeds alone would show (ω², 0 at"
        " least), with 95 % intervals (generalised confidence). A term is what its factors do"
        " beyond their single effects." + lost_words(study, " Networks that diverged count.")
    )
    return Figure(
        picture,
        caption,
        f"Shares of variance. {finding}",
        _table(terms, found),
        WIDTH,
        finding,
        HOW_SHARES + (TWO_SIDES if len(found) > 1 else ""),
    )


def _table(terms: dict[str, TermsShown], found: dict[str, Shares]) -> Table:
    rows: Rows = []
    for text, shares_found in found.items():
        decided = {one.name: one.decided for one in terms[text].terms}
        for one in shares_found.terms:
            rows.append(
                [
                    one.name,
                    text,
                    _share(one.share),
                    f"{with_interval(one.size, 3)}",
                    number(one.F),
                    str(one.df),
                    _verdict(decided.get(one.name)),
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
        "corrected p",
        "n",
    ]
    notes = (
        "Corrected p: Holm's, of permutation tests of all main effects and two-way interactions of"
        " one measure; a term is shown if it is at most .05, whatever the interval of its share."
        " Typical size: root mean square of the term over the recipes, in the units of what it is"
        " of."
        " Noise alone has a share of 0 on average; what comes out below 0 is shown as 0, so that"
        " shares may sum to more than 100 %. Kept as tables/shares.parquet."
    )
    return Table(columns, rows, "Shares of variance", notes)


def _verdict(decided: Decided | None) -> str:
    """The corrected p and whether the term is shown; nothing for what is not tested."""
    if decided is None:
        return ""
    word = {True: "shown", False: "not shown", None: "not testable"}[decided.shown]
    word = TOO_CLOSE if decided.too_close else word
    return f"{corrected_p(decided).removeprefix('= ')}: {word}"


def _share(estimate: Estimate) -> Cell:
    return Cell(share_words(estimate), estimate.value)


def _frame(terms: dict[str, TermsShown], found: dict[str, Shares]) -> pd.DataFrame:
    rows = []
    for text, shares_found in found.items():
        corrected = {one.name: one.decided.holm for one in terms[text].terms}
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
                "corrected_p": corrected.get(one.name, math.nan),
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
                "corrected_p": math.nan,
            }
        )
    return pd.DataFrame(rows)


# --- interactions ---


Pair = tuple[str, str]  # factor of the lines, factor on the axis


def _interactions(study: Study, points: pd.DataFrame, terms: dict[str, TermsShown]) -> Figure:
    pair = line_key, x_key = _largest(study, terms)
    by = _panels(study, pair)
    marks = [
        mark
        for column, text in columns(study)
        for mark in _marks(study, pair, points, column, text, by)
    ]
    picture = draw(
        lambda rasterized: lines_of_means(
            line_key,
            x_key,
            hues(study.factors, line_key, study.levels(line_key)),
            study.levels(x_key),
            marks,
            by,
        ),
        name="interactions",
    )
    finding = " ".join(
        _crossing(study, pair, points, column, text, terms.get(text))
        for column, text in columns(study)
    )
    pooled = [key for key in study.factors if key not in pair and key not in (by[0] if by else {})]
    over = f" Averaged over {listing(pooled)}." if pooled else ""
    caption = (
        f"Means with 95 % intervals over seeds, recipes weighing equally; lines: {line_key}; small"
        f" dots: the networks.{over} Bars that reach the frame continue beyond it. Parallel lines"
        f" would mean that {x_key} does the same at every level of {line_key}."
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


def _largest(study: Study, terms: dict[str, TermsShown]) -> Pair:
    """Factors of the largest interaction that is shown, of the score first; else of the matrix."""
    shown = [one for of in terms.values() for one in of.interactions]
    if not shown:
        return study.matrix_factors
    first, second = (key for key in study.factors if key in shown[0].factors)
    return first, second


def _panels(study: Study, pair: Pair) -> list[dict[str, str]]:
    """Combinations of the other factors, as many as fit side by side."""
    keys: list[str] = []
    for key in study.factors:
        if key not in pair and len(study.combinations([*keys, key])) <= MOST:
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
    study: Study,
    pair: Pair,
    points: pd.DataFrame,
    column: str,
    text: str,
    by: Sequence[dict[str, str]],
) -> list[dict]:
    line_key, x_key = pair
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
                    some = own[own["id"].isin(listed)]
                    runs = some[column].astype(float).tolist()
                    where = {line_key: line, x_key: x, **panel}
                    shows = f"mean {text} {with_interval(mean, 3)}, {count(len(own), 'network')}"
                    each = [f"{text} {score_number(run, 3)}" for run in runs]
                    marks.append(
                        {
                            "panel": panel,
                            "line": line,
                            "x": x,
                            "text": text,
                            "column": column,
                            "mean": mean,
                            "runs": runs,
                            "shows": level_mark(study, where, shows),
                            "each": point_marks(study, some, each),
                        }
                    )
    return marks


def _crossing(
    study: Study, pair: Pair, points: pd.DataFrame, column: str, text: str, terms: TermsShown | None
) -> str:
    """The interaction's share of variance, and the best level of x for each line.

    Levels are compared over arms that are alike in everything else.
    """
    line_key, x_key = pair
    higher = study.higher_is_better or column == "D"
    term = terms.term(*pair) if terms else None
    if terms is None or term is None or not term.decided.testable:
        sentence = (
            f"Whether {x_key} acts alike on {text} in every {line_key} cannot be determined from"
            " the recipes that are there"
        )
    elif term.shown:
        sentence = f"{term.name} {explains(term)} of the variance of {text}"
    else:
        size = f"{share_words(term.share)}, " if known(term.share.value) else ""
        what = TOO_CLOSE if term.decided.too_close else "not shown"
        sentence = (
            f"{term.name} is {what} in {text} ({size}corrected p {corrected_p(term.decided)})"
        )
    also = [one.name for one in terms.interactions if one is not term] if terms else []
    sentence += f"; {listing(also)} {'is' if len(also) == 1 else 'are'} shown" if also else ""
    best_of_lines = []
    for line in study.levels(line_key):
        means = _alike(study, pair, points, column, line)
        if len(means) > 1:
            best = (max if higher else min)(means, key=lambda x: means[x])
            alike = [x for x in means if number(means[x], 3) == number(means[best], 3)]
            best_of_lines.append(
                f"{level(line_key, line)} {' and '.join(level(x_key, x) for x in alike)}"
                f" {score_number(means[best])}"
            )
    sentence += (
        f"; {'highest' if higher else 'lowest'} mean of each line, over recipes alike in all else"
        f" within it: {', '.join(best_of_lines)}."
        if best_of_lines
        else "."
    )
    return f"{sentence[0].upper()}{sentence[1:]}"


def _alike(
    study: Study, pair: Pair, points: pd.DataFrame, column: str, line: str
) -> dict[str, float]:
    """Mean at each level of x for one line, over settings of the other factors that have all
    levels.

    With other arms, settings would be compared and not levels.
    """
    line_key, x_key = pair
    own = points[(points[line_key] == line) & points[column].notna()]
    keys = [key for key in study.factors if key not in (line_key, x_key)]
    means = own.groupby([x_key, *keys], sort=False)[column].mean()
    table = means.unstack(x_key) if keys else means.to_frame().T
    if table.empty:
        return {}
    fullest = table.iloc[[int(table.notna().sum(axis=1).to_numpy().argmax())]]
    shared = [x for x in study.levels(x_key) if x in table and fullest[x].notna().all()]
    return {x: float(value) for x, value in table[shared].dropna().astype(float).mean().items()}
