"""Claims, declared with the study or kept in the ledger, and whether the data support them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.analysis.claim_ledger import Entry, judge_all, read_ledger
from reports.analysis.claims import INCONCLUSIVE, REFUTED, SUPPORTED, JudgedClaim, judge, relative
from reports.blocks import Cell, Figure, Fold, Prose, Rows, Section, Table
from reports.data.study import MOST, Study
from reports.figures.theme import INK, SOFT, draw, panels
from reports.formatting import count, interval, known, levels, listing, number, percent, shorten

HOW = (
    "A row is one [claim]; its mark is the effect that was found, the bar its [interval]."
    " Everything is measured in the smallest difference that matters to that claim, so that all"
    " fit one axis: inside the shaded band an effect is too small to care about, to the right of"
    " it the claim is supported, to the left the opposite holds. Look at the bar before the mark:"
    " a bar that reaches from one side to the other decides nothing, however far out its mark"
    " lies."
)
SIGNS = {SUPPORTED: "✓", REFUTED: "✕", INCONCLUSIVE: "?"}
INKS = {SUPPORTED: "#2e9e4f", REFUTED: "#c04848", INCONCLUSIVE: "#7a8a99"}
EDGE = 8.0  # of the x axis, in differences that matter
WIDTH = 10.0
LINE_LENGTH = 56  # characters of a statement per line


class Claims:
    """Judges the claims of the study (study.claims) and those of the ledger (conf/claim).

    Claims of the ledger that the study's factors cannot decide are listed with the reason.
    """

    title = "Claims"
    needs = ("outcome",)

    def render(self, study: Study) -> Section:
        own = [judge(study, claim) for claim in study.declaration.get("claims", [])]
        decided, left = judge_all(study, read_ledger(study.folders))
        every = [*own, *(one for _, one in decided)]
        if not every:
            return Section([])
        blocks: list[object] = [
            *[Prose(text) for text in _overview(own, decided, left)],
            *[Prose(sentence(one)) for one in own],
            _figure(every, len(own)),
        ]
        if decided:
            blocks.append(
                Fold(
                    "Every claim of the ledger in a sentence",
                    [Prose(sentence(one)) for _, one in decided],
                )
            )
        blocks.append(Fold("Points behind each claim", [_points(every)]))
        if left:
            rows: Rows = [
                [entry.claim["statement"], why, str(entry.claim["source"])] for entry, why in left
            ]
            blocks.append(
                Fold(
                    f"Not tested here: {count(len(left), 'claim')}",
                    [
                        Table(
                            ["claim", "why not here", "source"],
                            rows,
                            "Claims of the ledger that this study cannot decide",
                        )
                    ],
                )
            )
        return Section(blocks)


def _overview(
    own: list[JudgedClaim], decided: list[tuple[Entry, JudgedClaim]], left: list[tuple[Entry, str]]
) -> list[str]:
    parts, compared = [], [one for _, one in decided]
    if own:
        parts.append(f"Of {count(len(own), 'claim')} declared with the study: {_counts(own)}.")
    if compared:
        parts.append(
            f"Of {count(len(compared), 'claim')} of the ledger, the same for every study, that"
            f" these factors can decide: {_counts(compared)}."
        )
    if left:
        parts.append(
            f"{count(len(left), 'claim')} cannot be decided here and"
            f" {'is' if len(left) == 1 else 'are'} listed below."
        )
    named = {
        word: [_short(one.statement) for one in compared if one.verdict == word]
        for word in (SUPPORTED, REFUTED)
    }
    return [
        " ".join(parts),
        *(f"{word.capitalize()}: {'; '.join(names)}." for word, names in named.items() if names),
    ]


def _short(statement: str) -> str:
    """A statement as part of a sentence: lower-case first letter, except for names and acronyms."""
    text = statement.rstrip(".")
    return (
        text
        if len(text) < 2 or text[1].isupper() or text.split()[0] in ("Xavier",)
        else text[0].lower() + text[1:]
    )


def _counts(claims: list[JudgedClaim]) -> str:
    counts = {word: sum(one.verdict == word for one in claims) for word in SIGNS}
    return ", ".join(f"{n} {word}" for word, n in counts.items() if n)


def _figure(every: list[JudgedClaim], own: int) -> Figure:
    picture = draw(lambda rasterized: forest(every), name="claims")
    finding = f"Of {count(len(every), 'claim')}: {_counts(every)}."
    caption = (
        "Effect of each claim with its 95 % interval, in units of the smallest difference that"
        " matters to it (shaded: too small to matter); to the right supports the claim. Arrows:"
        " the interval extends beyond the figure. At the right: the effect in the units of what"
        " it is measured by (the table has them), and points. ✓ supported: the interval lies"
        " above 0 and the effect reaches 1 (for claims of “no less”: the interval lies above −1)."
        " ✕ refuted: the whole interval lies below what matters: the opposite holds, or the"
        " effect is too small to matter. Claims were not picked by looking; several claims are"
        " not corrected for one another."
    )
    return Figure(
        picture,
        caption,
        f"Claims and what was found. {finding}",
        _table(every, own),
        WIDTH,
        finding,
        HOW,
    )


def forest(every: list[JudgedClaim]) -> Drawing:
    """One row per claim: its effect and interval in differences that matter, and the verdict."""
    figure, axes = panels(
        1,
        1,
        width=WIDTH,
        height=0.95 + 0.33 * len(every),
        left=3.75,
        right=3.6,
        top=0.4,
        bottom=0.55,
        gap=(0, 0),
    )
    axis = axes[0, 0]
    axis.axvspan(-1, 1, color=SOFT, alpha=0.12, linewidth=0)
    axis.axvline(0, color=SOFT, linewidth=0.8)
    for y, one in enumerate(every):
        _effect_mark(axis, y, one)
        axis.text(EDGE * 1.06, y, label(one), color=INK, fontsize=8, va="center")
        axis.text(EDGE * 2.06, y, _found(one), color=INK, fontsize=7.5, va="center")
    axis.set(
        xlim=(-EDGE, EDGE),
        ylim=(len(every) - 0.4, -0.6),
        xlabel="effect ÷ smallest difference that matters",
    )
    axis.text(EDGE * 2.06, -0.85, "effect [95 %] · n", color=SOFT, fontsize=7.5, va="center")
    axis.set_yticks(
        range(len(every)),
        [
            "\n".join(textwrap.wrap(shorten(one.statement, 2 * LINE_LENGTH - 4), LINE_LENGTH))
            for one in every
        ],
    )
    axis.tick_params(axis="y", length=0)
    axis.set_xticks([-8, -4, -1, 0, 1, 4, 8], ["−8", "−4", "−1", "0", "1", "4", "8"])
    axis.spines["left"].set_visible(False)
    return figure


def _effect_mark(axis: Axes, y: int, one: JudgedClaim) -> None:
    """The interval, with arrows where it leaves the figure, and the effect."""
    value, low, high = relative(one)
    colour = INKS[one.verdict]
    if math.isfinite(low):
        axis.plot(
            np.clip([low, high], -EDGE, EDGE),
            [y, y],
            color=colour,
            linewidth=2.2,
            alpha=0.55,
            solid_capstyle="butt",
            clip_on=False,
        )
        for end, marker in ((low, "<"), (high, ">")):
            if abs(end) > EDGE:
                x = math.copysign(EDGE, end)
                axis.plot([x], [y], marker, color=colour, markersize=4.5, clip_on=False)
    if math.isfinite(value):
        axis.plot(
            [np.clip(value, -EDGE, EDGE)],
            [y],
            {SUPPORTED: "o", REFUTED: "X", INCONCLUSIVE: "D"}[one.verdict],
            color=colour,
            markersize=5,
            markeredgewidth=0,
            clip_on=False,
        )
    else:
        axis.text(0, y, "no points to compare", color=SOFT, fontsize=7, ha="center", va="center")


def _found(one: JudgedClaim) -> str:
    """The effect and its interval in the units of the measure."""
    if not known(one.difference.value):
        return ""
    digits = 2 if abs(one.difference.value) < 100 else 0
    around = (
        f" {interval(one.difference.low, one.difference.high, digits)}"
        if known(one.difference.low)
        else ""
    )
    return (
        f"{number(one.difference.value, digits, sign=True)}{around} ·"
        f" {one.difference.n or sum(map(len, one.values))}"
    )


def _table(every: list[JudgedClaim], own: int) -> Table:
    rows: Rows = [
        [
            one.statement,
            Cell(label(one), one.verdict),
            one.measure,
            f"{levels(one.better)}: {_side(one, 0)}" if one.better else one.text,
            f"{levels(one.worse)}: {_side(one, 1)}" if one.worse else "",
            Cell(
                f"{number(one.difference.value, 3, sign=True)}"
                f" {interval(one.difference.low, one.difference.high, 3)}",
                _sort(one.difference.value),
            ),
            number(one.least, 3) + (" (no less)" if one.direction == "no less" else ""),
            str(one.difference.n or sum(map(len, one.values))),
            one.source or ("declared with the study" if place < own else ""),
        ]
        for place, one in enumerate(every)
    ]
    columns = [
        "claim",
        "found",
        "by",
        "claimed better",
        "claimed worse",
        "effect, 95 % interval",
        "smallest difference that matters",
        "n",
        "source",
    ]
    notes = (
        "Effect: better minus worse, in the direction of the claim, over arms that are alike in"
        " everything else, arms weighing equally; t over seeds within arms with the test set's"
        " noise for means, Newcombe's interval for shares of points, a bootstrap over arms for AUC."
        " Scores of the ledger's claims matter from a share of the way between baseline and"
        " perfect, so that one claim fits every task."
    )
    return Table(columns, rows, "Claims and what was found", notes)


def _sort(value: float) -> float | None:
    return value if known(value) else None


def _points(every: list[JudgedClaim]) -> Table:
    rows: Rows = [[one.statement, str(len(one.rests_on)), _ids(one.rests_on)] for one in every]
    return Table(["claim", "n", "points, by id"], rows, "Points behind the claims")


def _ids(ids: Sequence[str]) -> str:
    """Ids of points, shortened if there are more than MOST.

    A hundred thousand ids would be megabytes per claim.
    """
    return (
        " ".join(ids)
        if len(ids) <= MOST
        else f"{' '.join(ids[: MOST // 10])} and {len(ids) - MOST // 10:,} more"
    )


def label(one: JudgedClaim) -> str:
    """The verdict with its symbol; a refutation with its kind."""
    kind = " (opposite)" if one.difference.high < 0 else " (too small)"
    return f"{SIGNS[one.verdict]} {one.verdict}" + (
        kind if one.verdict == REFUTED and not one.each else ""
    )


def sentence(one: JudgedClaim) -> str:
    """A claim with its verdict and numbers.

    For example: Clipping mends explosion: supported. Lost: 0 of 3 with clip norm, 3 of 3 with clip
    none …
    """
    found = f"{one.statement.rstrip('.')}: {one.verdict}."
    if one.text:
        return f"{found} {one.text} {_effect(one)}"
    empty = [
        levels(side)
        for side, values in zip((one.better, one.worse), one.values, strict=True)
        if not len(values)
    ]
    if empty:
        return f"{found} There is no point yet on {' nor on '.join(empty)}."
    if not known(one.difference.value):
        return (
            f"{found} No arm with {levels(one.better)} is alike in everything else to one with"
            f" {levels(one.worse)}."
        )
    sides = (
        f"{one.measure[0].upper()}{one.measure[1:]}: {_side(one, 0)} with {levels(one.better)},"
        f" {_side(one, 1)} with {levels(one.worse)}"
    )
    text = (
        f"{found} {sides} (difference {number(abs(one.difference.value))}, interval"
        f" {_positive(one)})."
    )
    if one.each:
        within = listing(
            f"{name} {compared.verdict} ({number(compared.difference.value, sign=True)}"
            f" {interval(compared.difference.low, compared.difference.high)})"
            for name, compared in one.each.items()
        )
        text += f" Within each: {within}."
    return text


def _effect(one: JudgedClaim) -> str:
    return (
        f"Effect {number(one.difference.value, 3, sign=True)}"
        f" {interval(one.difference.low, one.difference.high, 3)}, where {number(one.least, 3)}"
        " matters."
    )


def _positive(one: JudgedClaim) -> str:
    """The interval, with the sign that the sentence gives to the difference."""
    low, high = one.difference.low, one.difference.high
    return interval(low, high) if one.difference.value >= 0 else interval(-high, -low)


def _side(one: JudgedClaim, which: int) -> str:
    values = np.asarray(one.values[which], dtype=float)
    if not len(values):
        return "no point"
    if one.share:
        return f"{int(values.sum())} of {len(values)} ({percent(float(values.mean()))})"
    spread = f" ± {number(float(values.std(ddof=1)))} sd" if len(values) > 1 else ""
    return f"{number(float(values.mean()))}{spread} (n = {len(values)})"
