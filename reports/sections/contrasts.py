"""Contrasts: the planned tests as one family, with Holm's correction.

Single arms are shown, not tested.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.analysis.adopted import lost_words, noise_words
from reports.analysis.arms import with_interval
from reports.analysis.comparison import side_words
from reports.analysis.contrasts import (
    Contrast,
    Family,
    against_other_levels,
    factorial_contrasts,
    measure_name,
    planned_contrasts,
)
from reports.analysis.effect_words import IN_RESULTS, apart_words, differ_in_results
from reports.analysis.effects import reversals
from reports.analysis.marks import arms_with
from reports.analysis.terms_shown import DRAWS, TOO_CLOSE, TermsShown, corrected_p, terms_shown
from reports.blocks import Cell, Figure, Notice, Prose, Rows, Section, Table
from reports.data.study import Study
from reports.figures.hues import hues
from reports.figures.marks import Mark, marked
from reports.figures.theme import INK, SOFT, draw, markers, panels
from reports.formatting import (
    count,
    decimals,
    interval,
    known,
    level,
    levels,
    listing,
    number,
    percent,
    shorten,
    slug,
)
from reports.statistics import Estimate
from reports.statistics.holm import FAMILY_ERROR
from reports.statistics.improvement import cliffs_delta
from reports.statistics.permutation import MANY
from study.design.power import seeds_to_test, smallest_p

HOW = (
    "A row is one comparison; 0 means no difference. A bar ([interval]) says how large the"
    " difference may be. One that does not touch 0 shows a difference if the corrected p in the"
    " table, which counts how many comparisons were made together, is at most .05 as well: these"
    " marks are filled. One that holds 0 shows none, which is not the same as showing that there is"
    " none."
)
WIDTH = 10.0


class Contrasts:
    title = "Contrasts"
    needs = ("score",)

    def render(self, study: Study) -> Section:
        of_study = planned_contrasts(study)
        families = (
            [of_study]
            if of_study
            else [family for by in ("score", "D") if (family := factorial_contrasts(study, by))]
        )
        if not families:
            return Section([])
        blocks: list[object] = [
            Prose(_sentence(family, _results_alone(study, family))) for family in families
        ]
        if all(not known(one.test.p) for family in families for one in family.tests):
            blocks = [
                Notice(
                    "Nothing can be tested: one seed per recipe leaves no spread over seeds, or"
                    " nothing stored differs in one factor alone.",
                    "plain",
                )
            ]
        blocks.append(Prose(single_arms(study), "small"))
        measures = list(dict.fromkeys(one.by for one in of_study.tests)) if of_study else ["score"]
        for by in measures:  # each has its own unit and so its own figure
            rows = _declared_rows(of_study, by) if of_study else _level_rows(study)
            if rows:
                blocks.append(_figure(study, rows, by, of_study is not None))
        return Section([*blocks, *[_table(study, family) for family in families]])


def _results_alone(study: Study, family: Family) -> list[str]:
    """Tests that are shown though the interval of the means has 0 in it."""
    of_factors = differ_in_results(study)
    return [
        one.name
        for one in family.tests
        if one.shown
        and (
            one.name in of_factors and one.by == "score"
            if one.first is None
            else one.difference.low <= 0 <= one.difference.high
        )
    ]


def _sentence(family: Family, results_alone: Sequence[str]) -> str:
    """What is shown; of `results_alone` that it is not a difference of means."""
    tests = [one for one in family.tests if known(one.test.p)]
    if not tests:
        return f"Of {family.name}, none can be tested."
    shown = sorted((one for one in tests if one.shown), key=lambda one: one.holm)
    quiet = [one.name for one in tests if one.shown is False]
    close = [f"{one.name} (p {corrected_p(one.decided)})" for one in tests if one.shown is None]
    how = (
        "permutation of residuals within blocks"
        if max((one.test.n for one in tests), default=0) <= MANY
        else "F distribution"
    )
    sentence = (
        f"Tested as one family, {family.name} ({count(len(tests), 'test')}; {how}, Holm, family"
        f" error {FAMILY_ERROR:.2f}): "
    )
    sentence += (
        f"shown for {listing(f'{one.name} (p {one.holm_text})' for one in shown)}"
        if shown
        else "none is shown"
    )
    sentence += f"; not shown for {listing(quiet)}" if quiet and shown else ""
    sentence += f"; {TOO_CLOSE} for {listing(close)}." if close else "."
    if results_alone:
        sentence += (
            f" Of {listing(results_alone)}, levels are shown to differ {IN_RESULTS}: a permutation"
            " test rejects that they are distributed alike, as unequal spreads are not, and the"
            " interval of the largest difference of means has 0 in it."
        )
    left = [one.name for one in family.tests if not known(one.test.p)]
    return sentence + (
        f" Not testable with the recipes that are there: {listing(left)}." if left else ""
    )


def single_arms(study: Study) -> str:
    """Why single arms are shown and not tested, and with how many seeds they could be."""
    seeds, arms = len(study.seeds), len(study.arms)
    if arms < 2:
        return "There is one recipe: nothing to compare."
    if seeds < 2:
        return (
            "Single recipes are shown, not tested: with one seed each nothing says what is chance;"
            f" the best against the {count(arms - 1, 'other')} needs at least"
            f" {seeds_to_test(arms - 1)} seeds per recipe to reach .05 at all."
        )
    least = f"p = {smallest_p(seeds):.2g}"
    sentence = (
        f"Single recipes are shown, not tested: with {count(seeds, 'seed')} per side a permutation"
        f" test of two recipes cannot go below {least}"
    )
    if arms == 2:
        return f"{sentence}, and {seeds_to_test(1)} are the fewest with which it could reach .05."
    return (
        f"{sentence}; the best against the {arms - 1} others, corrected, needs at least"
        f" {seeds_to_test(arms - 1)} seeds per recipe to reach .05 at all."
    )


Row = tuple[
    str, str, str, Estimate, str, bool
]  # group, name of the mark, label, difference, note, shown


def _level_rows(study: Study) -> list[Row]:
    """Each level against the others; at each level of the partner that reverses it, if one does."""
    rows: list[Row] = []
    terms = terms_shown(study, "score")
    for factor, names in study.factors.items():
        reverses, _ = reversals(study, "score", factor)
        partner = reverses[0].partner if reverses else None
        places = [{partner: name} for name in study.levels(partner)] if partner else [{}]
        tested = terms.term(*([factor, partner] if partner else [factor])) if terms else None
        own = names[:1] if len(names) == 2 else names
        confidence = 1 - FAMILY_ERROR / (len(places) * len(own)) if partner else 0.95
        for place, name in itertools.product(places, own):
            found, improve, _ = against_other_levels(
                study, factor, name, place, confidence=confidence
            )
            if not known(found.value):
                continue
            other = _against(factor, name, names, terms)
            at = f", {levels(place)}" if place else ""
            note = f"P(improve) {number(improve.value)}" if known(improve.value) else ""
            apart = known(found.low) and (found.low > 0 or found.high < 0)
            shown = apart and tested is not None and bool(tested.shown)
            rows.append((factor, name, f"{level(factor, name)}{other}{at}", found, note, shown))
    return rows


def _against(factor: str, name: str, names: Sequence[str], terms: TermsShown | None) -> str:
    """The other side, unless it is the mean of all other levels."""
    confounded = terms.confounding(factor) if terms else None
    islands = confounded.islands[factor] if confounded else (tuple(names),)
    others = [one for island in islands if name in island for one in island if one != name]
    if len(names) > 2 and not confounded:
        return ""
    return f" against {' or '.join(level(factor, one) for one in others)}"


def _declared_rows(family: Family, by: str) -> list[Row]:
    return [
        ("", one.name, one.name, one.difference, f"Holm p {one.holm_text}", bool(one.shown))
        for one in family.tests
        if one.by == by and known(one.difference.value)
    ]


def _figure(study: Study, rows: list[Row], by: str, declared: bool) -> Figure:
    picture = draw(lambda rasterized: _forest(study, rows, by), name=f"contrasts-{slug(by)}")
    largest = max(rows, key=lambda row: abs(row[3].value))
    other = "" if declared or " against " in largest[2] else " against the mean of its other levels"
    found = f"{with_interval(largest[3], 3, sign=True)} (n = {largest[3].n})"
    finding = (
        f"Largest in {measure_name(study, by)}: {largest[2]}{other}, {found}."
        if largest[3].value
        else f"No difference at all in {measure_name(study, by)}."
    )
    what = (
        "Each planned contrast, first side minus second, over recipes alike in everything else."
        " Filled: shown after Holm's correction."
        if declared
        else (
            f"Each level against the mean of the other levels of its factor in test {study.metric},"
            " over recipes alike in everything else. Filled: the factor is shown in the family, and"
            f" this interval lies apart from 0.{_scope(study)}"
        )
    )
    caption = (
        f"{what} Bars: 95 % t interval over seeds, recipes being fixed"
        + noise_words(study, ", with the test set's noise")
        + ". P(improve): chance that a network of it is better than one of the others."
    )
    return Figure(picture, caption, f"Contrasts. {finding}", _rows_table(rows), WIDTH, finding, HOW)


def _scope(study: Study) -> str:
    """Which factors are not averaged over which, and which are confounded."""
    sentences = []
    for factor in study.factors:
        reverses, _ = reversals(study, "score", factor)
        if reverses:
            sentences.append(
                f" {factor} is compared at each level of {reverses[0].partner}, as that decides"
                f" which is better (intervals corrected for their number)."
            )
    terms = terms_shown(study, "score")
    for one in terms.confounded if terms else []:
        if one.factors:
            sentences.append(f" {listing(one.factors)} are confounded: {apart_words(one)}.")
    return "".join(sentences)


def _forest(study: Study, rows: list[Row], by: str) -> Drawing:
    left = min(4.4, 0.4 + 0.066 * max(len(shorten(row[2], 60)) for row in rows))
    figure, axes = panels(
        1,
        1,
        width=WIDTH,
        height=0.7 + 0.23 * len(rows),
        left=left,
        right=1.5,
        top=0.12,
        bottom=0.5,
        gap=(0, 0),
    )
    axis = axes[0, 0]
    axis.axvline(0, color=SOFT, linewidth=0.8)
    palettes = {
        factor: (hues(study.factors, factor, names), markers(names))
        for factor, names in study.factors.items()
    }
    last = None
    for y, (group, name, row_text, found, note, shown) in enumerate(rows):
        ink, shape = (palettes[group][0][name], palettes[group][1][name]) if group else (INK, "o")
        if last is not None and group != last:
            axis.axhline(y - 0.5, color=SOFT, linewidth=0.4, alpha=0.6)
        last = group
        text = f"{row_text}: {with_interval(found, 3, sign=True)}"
        mark = Mark(text, arms_with(study, {group: name}) if group else ())
        _difference_mark(axis, y, found, ink, shape, mark, filled=shown)
        axis.annotate(
            note,
            (1.02, y),
            xycoords=("axes fraction", "data"),
            fontsize=7.5,
            va="center",
            color=INK,
            annotation_clip=False,
        )
    ends = [
        abs(value)
        for row in rows
        for value in (row[3].value, row[3].low, row[3].high)
        if known(value)
    ]
    reach = 1.06 * (max(ends) or 1)
    axis.set(
        xlim=(-reach, reach),
        ylim=(len(rows) - 0.5, -0.5),
        xlabel=f"difference in {measure_name(study, by)}",
    )
    axis.set_yticks(range(len(rows)), [shorten(row[2], 60) for row in rows])
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    return figure


def _difference_mark(
    axis: Axes, y: int, found: Estimate, ink: str, shape: str, mark: Mark, *, filled: bool
) -> None:
    if known(found.low):
        bar = axis.plot(
            [found.low, found.high],
            [y, y],
            color=ink,
            linewidth=4,
            alpha=0.3,
            solid_capstyle="butt",
        )
        marked(bar[0], mark)
    dot = axis.plot(
        [found.value],
        [y],
        shape,
        color=ink,
        markersize=5.2,
        markeredgewidth=1.1,
        markerfacecolor=ink if filled else "none",
    )
    marked(dot[0], mark)


def _rows_table(rows: list[Row]) -> Table:
    made: Rows = [
        [
            label,
            group,
            Cell(number(compared.value, digits, sign=True), compared.value),
            interval(compared.low, compared.high, digits),
            note,
            str(compared.n),
        ]
        for group, _, label, compared, note, _ in rows
        for digits in (decimals(compared.value, compared.half, 3),)
    ]
    return Table(
        ["contrast", "factor", "difference", "95 % interval", "note", "n"],
        made,
        "The numbers of the contrasts",
    )


def _table(study: Study, family: Family) -> Table:
    rows: Rows = [[one.name, *_statistics(one), *_effect(study, one)] for one in family.tests]
    has_effects = any(
        isinstance(cell, Cell) or cell for *_, cell in rows
    )  # or the reason why a contrast cannot be tested
    rows = rows if has_effects else [row[:-1] for row in rows]
    columns = [
        "tested",
        "F",
        "degrees of freedom",
        "p",
        "p after Holm",
        "n (blocks)",
        *(["effect"] if has_effects else []),
    ]
    notes = (
        "Freedman and Lane (1983): residuals of the model of recipe means without the term are"
        " permuted among networks that differ in the term's factors only; p counts F at least as"
        " large (≤: none is larger, so that this is the smallest p there can be here). Where the"
        " luck of the permutations could decide, there are more of"
        f" them, up to {DRAWS[-1]:,}. Error: the spread over seeds within recipes, assumed alike;"
        " if it differs tenfold between recipes, a nominal .05 is truly .06 to .08 (simulated)."
        f"{lost_words(study, ' Diverged and unsolved networks count.')} How large a term is stands"
        " under Effects and interactions."
    )
    return Table(columns, rows, f"The family: {family.name}", notes)


def _statistics(one: Contrast) -> list[Cell | str]:
    test = one.test
    return [
        Cell(number(test.F), test.F if known(test.F) else None),
        f"{test.df}, {test.error_df}",
        Cell(one.p_text.removeprefix("= "), test.p if known(test.p) else None),
        Cell(one.holm_text.removeprefix("= "), one.holm if known(one.holm) else None),
        f"{test.n} ({test.blocks})",
    ]


def _effect(study: Study, one: Contrast) -> list[Cell | str]:
    if one.first is None or one.second is None or not known(one.difference.value):
        return [
            (
                ""
                if known(one.test.F)
                else Cell(
                    "no two recipes differ in this alone, or one seed per recipe", None, "wrap"
                )
            )
        ]
    delta = cliffs_delta(one.improve)
    text = (
        f"{levels(side_words(one.first))} minus {levels(side_words(one.second))} in"
        f" {measure_name(study, one.by)}: {with_interval(one.difference, 3, sign=True)}; P(improve)"
        f" {percent(one.improve.value)} [{percent(one.improve.low)}, {percent(one.improve.high)}];"
        f" Cliff's δ {number(delta.value, sign=True)}"
    )
    return [Cell(text, one.difference.value)]
