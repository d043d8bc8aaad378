"""The page of a comparison of two studies."""

from __future__ import annotations

import math
from pathlib import Path

from markupsafe import Markup

from reports.analysis.arms import WORST, score_words, with_interval
from reports.blocks import Cell, Figure, Fold, Heading, Prose, Rows, Table
from reports.documents.diff import Difference
from reports.documents.diff_recipes import BETTER, PERHAPS, WORSE, OneSided, RecipeChange
from reports.documents.diff_words import change_words, sentences, share, tally_words, verdict_words
from reports.documents.files import write_text
from reports.documents.templates import Templates, unbroken
from reports.figures.differences import WIDTH, Row, forest
from reports.figures.theme import draw
from reports.formatting import count, score_number

MOST = 60  # rows of the picture
BACK = "the picture has those that differ most"


def write_diff(found: Difference, out: Path) -> Path:
    """Write the comparison as a page."""
    render = Templates()
    blocks: list[tuple[str, list[object]]] = [
        ("Answer", [Prose(text, "lead") for text in sentences(found)]),
        ("Settings that differ", _settings(found)),
        ("Recipe by recipe", [*_figure(found), *_recipes(found)]),
        ("Only in one of them", _only(found)),
        ("Findings that changed", _findings(found)),
        ("Network by network", _networks(found)),
    ]
    parts: list[tuple[str, list[Markup]]] = [
        (title, [render(one) for one in own]) for title, own in blocks if own
    ]
    title = f"{found.names[0]} and {found.names[1]}"
    write_text(out, unbroken(render.whole("diff.html", title, found=found, parts=parts)))
    return out


def _settings(found: Difference) -> list[object]:
    rows: Rows = [
        [key, one, other, Cell(str(n), n)] for (key, one, other), n in found.settings.items()
    ]
    heads = ["setting", *found.names, "networks"]
    return [Table(heads, rows, "Settings that differ in networks of both")] if rows else []


def _figure(found: Difference) -> list[object]:
    moved = [one for one in found.recipes if not one.same and math.isfinite(one.difference.value)]
    if not moved:
        return []
    a, b = found.names
    sign = 1 if found.higher_is_better else -1
    shown = sorted(moved, key=lambda one: -abs(one.difference.value))[:MOST]
    shown = sorted(shown, key=lambda one: -sign * one.difference.value)
    rows = [
        Row(
            one.label,
            one.difference,
            one.among_all,
            _way(one),
            PERHAPS not in one.word,
            change_words(one),
        )
        for one in shown
    ]
    text = f"test {found.metric}, {b} minus {a}"
    better = "right" if found.higher_is_better else "left"
    finding = tally_words(found).partition(" Perhaps:")[0]
    some = f" Of {len(moved)} recipes {BACK}." if len(shown) < len(moved) else ""
    return [
        Figure(
            draw(lambda _: forest(rows, text, better), name="differences"),
            f"Test {found.metric} of each recipe, {b} minus {a}, best first. Thick: its own 95 %"
            f" interval over seeds; thin: the one that holds for all {len(moved)} together"
            f" (Bonferroni), cut at the edge. ▲ better, ▼ worse (hollow: perhaps), ● cannot be"
            f" told apart.{some}",
            f"Differences by recipe. {finding}",
            None,
            WIDTH,
            finding,
        )
    ]


def _way(one: RecipeChange) -> int:
    return {BETTER: 1, WORSE: -1}.get(one.word.removeprefix(PERHAPS), 0)


def _recipes(found: Difference) -> list[object]:
    rows: Rows = []
    for one in found.recipes:
        change = "0" if one.same else with_interval(one.difference, 3, sign=True)
        seeds = f"{one.first.n} in pairs" if one.paired else f"{one.first.n} and {one.second.n}"
        rows.append(
            [
                one.label,
                Cell(one.word, _way(one) * (1 if PERHAPS in one.word else 2)),
                Cell(change, 0.0 if one.same else one.difference.value),
                Cell(score_number(one.first.score.value, 3), one.first.score.value),
                Cell(score_number(one.second.score.value, 3), one.second.score.value),
                _turned(share(one.first, "solved"), share(one.second, "solved")),
                _turned(share(one.first, "lost"), share(one.second, "lost")),
                Cell(_turned(verdict_words(one.first), verdict_words(one.second)), None, "free"),
                seeds,
            ]
        )
    if not rows:
        return []
    a, b = found.names
    heads = ["recipe", f"{b} is", "difference, 95 % interval", a, b]
    notes = (
        f"Mean test {found.metric}; lost networks count with {WORST}. In pairs: both have the same"
        " seeds, and the interval is that of the differences within seeds; else Welch's."
        f" {BETTER.capitalize()} and {WORSE}: apart from 0 among all recipes that changed;"
        f" {PERHAPS.strip()}: only by itself."
    )
    return [
        Table(
            [*heads, "solved", "lost", "verdicts", "seeds"],
            rows,
            f"{count(len(rows), 'recipe')} of both studies",
            notes,
            filtered=True,
        )
    ]


def _turned(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def _only(found: Difference) -> list[object]:
    blocks: list[object] = []
    for name, recipes, seeds in zip(found.names, found.only_recipes, found.only_seeds, strict=True):
        tables: list[object] = []
        if recipes:
            heads = ["recipe", f"mean test {found.metric}", "solved", "lost", "verdicts"]
            rows: Rows = [_alone(one) for one in recipes]
            caption = f"{count(len(rows), 'recipe')} only in {name}"
            tables.append(Table(heads, rows, caption, filtered=True))
        if seeds:
            caption = f"Seeds only in {name}, of recipes of both"
            tables.append(Table(["recipe", "seeds"], [list(one) for one in seeds], caption))
        blocks += [Heading(name), *tables] if tables else []
    return blocks


def _alone(one: OneSided) -> list[Cell | str]:
    value = one.score.value
    sort = value if math.isfinite(value) else None
    return [
        one.label,
        Cell(score_words(one.score), sort),
        share(one, "solved"),
        share(one, "lost"),
        Cell(verdict_words(one), None, "free"),
    ]


def _findings(found: Difference) -> list[object]:
    rows: Rows = [list(pair) for pair in found.findings]
    if not rows:
        return []
    caption = f"{count(len(rows), 'finding')} whose strength changed"
    return [Table(["finding", f"{found.names[0]} → {found.names[1]}"], rows, caption)]


def _networks(found: Difference) -> list[object]:
    if not found.networks:
        return []
    rows: Rows = [list(one) for one in found.networks]
    caption = f"{count(len(rows), 'network')} of both that changed"
    table = Table(["recipe", "seed", "what changed"], rows, caption, filtered=True)
    return [Fold(f"{caption}, one by one", [table])]
