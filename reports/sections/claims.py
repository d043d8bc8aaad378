"""Claims, declared with the study or kept in the ledger, and whether the data support them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.analysis.adopted import noise_words
from reports.analysis.arms import with_interval
from reports.analysis.claim_ledger import Entry, all_claims
from reports.analysis.claim_words import label, sentence, side_values
from reports.analysis.ends import different_stopping_points
from reports.analysis.judged_claim import JudgedClaim, relative
from reports.analysis.scope import scope_words
from reports.blocks import Cell, Figure, Fold, Prose, Rows, Section, Table
from reports.data.study import MOST, Study
from reports.figures.marks import Mark, marked
from reports.figures.theme import INK, SOFT, draw, panels
from reports.findings.finding import (
    HOLDS,
    MIXED,
    NOT_DECIDED,
    NOT_TESTABLE,
    OPPOSITE,
    STRENGTHS,
    TOO_SMALL,
)
from reports.formatting import count, known, levels, score_number, shorten

HOW = (
    "A row is one [claim]; its mark is the effect that was found, the bar its [interval]."
    " Everything is measured in the smallest difference that matters to that claim, so that all"
    " fit one axis: inside the shaded band an effect is too small to care about, to the right of"
    " it the claim holds here, to the left the opposite does. Look at the bar before the mark: a"
    " bar that reaches from one side to the other decides nothing, however far out its mark lies. A"
    " claim whose effect depends on a factor is mixed: its sentence has it level by level."
)
INKS = {
    HOLDS: "#2e9e4f",
    OPPOSITE: "#c04848",
    TOO_SMALL: "#8a6d1f",
    MIXED: "#7a4fb0",
    NOT_DECIDED: "#7a8a99",
    NOT_TESTABLE: "#7a8a99",
}
MARKS = {HOLDS: "o", OPPOSITE: "X", TOO_SMALL: "s", MIXED: "P", NOT_DECIDED: "D", NOT_TESTABLE: "D"}
EDGE = 8.0  # of the x axis, in differences that matter
WIDTH = 10.0
LINE_LENGTH = 56  # characters of a statement per line


class Claims:
    """Judges the claims of the study (study.claims) and those of the ledger (conf/claim).

    Claims of the ledger that the study's factors cannot decide are listed with the reason.
    """

    title = "Claims"
    needs = ("status",)

    def render(self, study: Study) -> Section:
        found = all_claims(study)
        own, decided, left = list(found.own.values()), found.decided, found.left
        testable = [one for one in own if one.verdict != NOT_TESTABLE]
        every = [*testable, *(one for _, one in decided)]
        if not own and not every:
            return Section([])
        blocks: list[object] = [
            *[Prose(text) for text in _overview(study, own, decided, left)],
            *[Prose(sentence(one)) for one in own],
            *([_figure(study, every, len(testable))] if every else []),
        ]
        if decided:
            blocks.append(
                Fold(
                    "Every claim of the textbooks in a sentence",
                    [Prose(sentence(one)) for _, one in decided],
                )
            )
        blocks.append(Fold("Networks behind each claim", [_points(every)]))
        if left:
            rows: Rows = [
                [entry.claim["statement"], why, str(entry.claim["source"])] for entry, why in left
            ]
            blocks.append(
                Fold(
                    f"Not testable here: {count(len(left), 'claim')}",
                    [
                        Table(
                            ["claim", "why not here", "source"],
                            rows,
                            "Claims of the textbooks that this study cannot test",
                        )
                    ],
                )
            )
        return Section(blocks)


def _overview(
    study: Study,
    own: list[JudgedClaim],
    decided: Sequence[tuple[Entry, JudgedClaim]],
    left: Sequence[tuple[Entry, str]],
) -> list[str]:
    parts, compared = [], [one for _, one in decided]
    if own:
        parts.append(f"Of {count(len(own), 'claim')} declared with the study: {_counts(own)}.")
    if compared:
        parts.append(
            f"Of {count(len(compared), 'claim')} that textbooks make, the same for every study and"
            f" testable in this one: {_counts(compared)}."
        )
    if left:
        parts.append(
            f"{count(len(left), 'claim')} cannot be tested here and"
            f" {'is' if len(left) == 1 else 'are'} listed below."
        )
    parts.append(f"“Here” is {scope_words(study, study.stored)}.")
    parts += [text for text in (different_stopping_points(study.stored),) if text]
    named = {
        word: [_short(one.statement) for one in compared if one.verdict == word]
        for word in (HOLDS, OPPOSITE, TOO_SMALL, MIXED)
    }
    return [
        " ".join(parts),
        *(f"{_heading(word)}: {'; '.join(names)}." for word, names in named.items() if names),
    ]


def _heading(word: str) -> str:
    text = f"{word} here"
    return f"{text[0].upper()}{text[1:]}"


def _short(statement: str) -> str:
    """A statement as part of a sentence: lower-case first letter, except for names and acronyms."""
    text = statement.rstrip(".")
    return (
        text
        if len(text) < 2 or text[1].isupper() or text.split()[0] in ("Xavier",)
        else text[0].lower() + text[1:]
    )


def _counts(claims: list[JudgedClaim]) -> str:
    counts = {word: sum(one.verdict == word for one in claims) for word in STRENGTHS}
    return ", ".join(
        f"{n} {'hold' if word == HOLDS and n > 1 else word} here" for word, n in counts.items() if n
    )


def _figure(study: Study, every: list[JudgedClaim], own: int) -> Figure:
    picture = draw(lambda rasterized: forest(study, _grouped(every)), name="claims")
    finding = f"Of {count(len(every), 'claim')}: {_counts(every)}."
    caption = (
        "Effect of each claim with its interval (99 %; 95 % of claims on what goes with solving),"
        " in units of the smallest difference that matters to it (shaded: too small to matter); to"
        " the right is what the claim says."
        " Arrows: the interval extends beyond the figure. Claims of one verdict stand together."
        " At the right: the effect in the units of"
        " what it is measured by (the table has them), and networks. ✓ holds here: the interval"
        " lies"
        " above 0 and the effect reaches 1 (for claims of “no less”: the interval lies above −1)."
        " ✕ the opposite, by the same rule. ≈ too small to matter: the whole interval lies in the"
        " shaded band. ◇ mixed: the effect depends on a factor: at some of its levels it is"
        " decided, at others it comes out differently or is not decided. ? not decided. Claims were"
        " not picked by looking; they are decided by wide"
        " intervals, since a page has many, and not corrected for one another beyond that."
    )
    return Figure(
        picture,
        caption,
        f"Claims and what was found. {finding}",
        _table(study, every, own),
        WIDTH,
        finding,
        HOW,
    )


def _grouped(every: list[JudgedClaim]) -> list[JudgedClaim]:
    """Claims of one verdict together, in the order in which the finding counts them."""
    order = list(STRENGTHS)
    return sorted(every, key=lambda one: order.index(one.verdict))


def _reach(every: list[JudgedClaim]) -> float:
    """How far the axis goes to each side: to the farthest end, within two units and EDGE."""
    ends = [abs(end) for one in every for end in relative(one) if math.isfinite(end)]
    return min(max(2.0, 1.08 * max(ends, default=2.0)), EDGE)


def forest(study: Study, every: list[JudgedClaim]) -> Drawing:
    """One row per claim: its effect and interval in differences that matter, and the verdict."""
    reach = _reach(every)
    figure, axes = panels(
        1,
        1,
        width=WIDTH,
        height=0.95 + 0.3 * len(every),
        left=3.75,
        right=3.6,
        top=0.4,
        bottom=0.55,
        gap=(0, 0),
    )
    axis = axes[0, 0]
    axis.axvspan(-1, 1, color=SOFT, alpha=0.12, linewidth=0)
    axis.axvline(0, color=SOFT, linewidth=0.8)
    arm_of = dict(zip(study.grid["id"], study.grid["arm"], strict=True))
    for y, one in enumerate(every):
        arms = sorted({int(arm_of[id]) for id in one.rests_on if id in arm_of})
        text = f"{one.statement.rstrip('.')}: {label(one)}, {_found(one)}".rstrip(", ")
        if y and one.verdict != every[y - 1].verdict:
            axis.axhline(y - 0.5, color=SOFT, linewidth=0.4, alpha=0.6, clip_on=False)
        _effect_mark(axis, y, one, Mark(text, tuple(arms)), reach)
        axis.text(reach * 1.06, y, label(one), color=INK, fontsize=8, va="center")
        axis.text(reach * 2.06, y, _found(one), color=INK, fontsize=7.5, va="center")
    axis.set(
        xlim=(-reach, reach),
        ylim=(len(every) - 0.4, -0.6),
        xlabel="effect ÷ smallest difference that matters",
    )
    axis.text(reach * 2.06, -0.85, "effect [interval] · n", color=SOFT, fontsize=7.5, va="center")
    axis.set_yticks(
        range(len(every)),
        [
            "\n".join(textwrap.wrap(shorten(one.statement, 2 * LINE_LENGTH - 4), LINE_LENGTH))
            for one in every
        ],
    )
    axis.tick_params(axis="y", length=0)
    ticks = [tick for tick in (-8, -4, -2, -1, 0, 1, 2, 4, 8) if abs(tick) <= reach]
    axis.set_xticks(ticks, [f"{tick}".replace("-", "−") for tick in ticks])
    axis.spines["left"].set_visible(False)
    return figure


def _effect_mark(axis: Axes, y: int, one: JudgedClaim, mark: Mark, reach: float) -> None:
    """The interval, with arrows where it leaves the figure, and the effect."""
    value, low, high = relative(one)
    colour = INKS[one.verdict]
    if math.isfinite(low):
        bar = axis.plot(
            np.clip([low, high], -reach, reach),
            [y, y],
            color=colour,
            linewidth=2.2,
            alpha=0.55,
            solid_capstyle="butt",
            clip_on=False,
        )
        marked(bar[0], mark)
        for end, marker in ((low, "<"), (high, ">")):
            if abs(end) > reach:
                x = math.copysign(reach, end)
                axis.plot([x], [y], marker, color=colour, markersize=4.5, clip_on=False)
    if math.isfinite(value):
        dot = axis.plot(
            [np.clip(value, -reach, reach)],
            [y],
            MARKS[one.verdict],
            color=colour,
            markersize=5,
            markeredgewidth=0,
            clip_on=False,
        )
        marked(dot[0], mark)
    else:
        axis.text(0, y, "no networks to compare", color=SOFT, fontsize=7, ha="center", va="center")


def _found(one: JudgedClaim) -> str:
    """The effect and its interval in the units of the measure."""
    if not known(one.difference.value):
        return ""
    digits = 2 if abs(one.difference.value) < 100 else 0
    return f"{with_interval(one.difference, digits, sign=True)} · {_n(one)}"


def _table(study: Study, every: list[JudgedClaim], own: int) -> Table:
    rows: Rows = [
        [
            one.statement,
            Cell(_label_and_why(one), one.verdict),
            one.measure,
            f"{levels(one.better)}: {side_values(one, 0)}" if one.better else one.text,
            f"{levels(one.worse)}: {side_values(one, 1)}" if one.worse else "",
            Cell(f"{with_interval(one.difference, 3, sign=True)}", _sort(one.difference.value)),
            score_number(one.least, 3) + (" (no less)" if one.direction == "no less" else ""),
            str(_n(one)),
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
        "effect, interval",
        "smallest difference that matters",
        "n",
        "source",
    ]
    notes = (
        "Effect: better minus worse, in the direction of the claim, over recipes that are alike in"
        " everything else, recipes weighing equally; t over seeds within recipes"
        f"{noise_words(study, ' with the noise of the test set')} for means, Newcombe's interval"
        " for shares of networks, a bootstrap over recipes for AUC."
        " Scores matter to the textbooks' claims from a share of the way between baseline and"
        " perfect, so that one claim fits every task."
    )
    return Table(columns, rows, "Claims and what was found", notes)


def _label_and_why(one: JudgedClaim) -> str:
    why = one.why if one.verdict == NOT_DECIDED else ""
    return f"{label(one)}{f': {why}' if why else ''}"


def _n(one: JudgedClaim) -> int:
    """Points behind the effect; of a claim without sides and without an effect, none."""
    return one.difference.n or (sum(map(len, one.values)) if one.better else 0)


def _sort(value: float) -> float | None:
    return value if known(value) else None


def _points(every: list[JudgedClaim]) -> Table:
    rows: Rows = [[one.statement, str(len(one.rests_on)), _ids(one.rests_on)] for one in every]
    return Table(["claim", "n", "networks, by id"], rows, "Networks behind the claims")


def _ids(ids: Sequence[str]) -> str:
    """Ids of points, shortened if there are more than MOST.

    A hundred thousand ids would be megabytes per claim.
    """
    return (
        " ".join(ids)
        if len(ids) <= MOST
        else f"{' '.join(ids[: MOST // 10])} and {len(ids) - MOST // 10:,} more"
    )
