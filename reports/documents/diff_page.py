"""The page of a comparison of two studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from reports.analysis.arms import WORST, with_interval
from reports.blocks import Cell, Notice, Prose, Rows, Table
from reports.documents.diff import Difference, sentences
from reports.documents.files import write_text
from reports.documents.templates import Templates
from reports.formatting import count, score_number


def write_diff(found: Difference, out: Path) -> Path:
    """Write the comparison as a page."""
    draw = Templates()
    parts: list[tuple[str, list[Markup]]] = [
        ("Answer", [draw(Prose(text, "lead")) for text in sentences(found)])
    ]
    parts.append(("Scores by arm", [draw(_arms(found))] if found.arms else []))
    changed: Rows = [list(pair) for pair in found.findings]
    table = Table(["finding", "strength"], changed, "Findings whose strength changed")
    parts.append(("Findings", [draw(table)] if changed else []))
    parts += [
        (
            f"{word.capitalize()} flips",
            _points(draw, points, f"From {found.names[0]} to {found.names[1]}"),
        )
        for word, points in found.flips.items()
    ]
    for title, points in (
        ("Added", found.added),
        ("Removed", found.removed),
        ("Changed", found.changed),
    ):
        parts.append((title, _points(draw, points, f"Points {title.lower()}")))
    rows: Rows = [
        [key, one, other, Cell(str(n), n)] for (key, one, other), n in found.settings.items()
    ]
    settings = Table(
        ["setting", found.names[0], found.names[1], "points"],
        rows,
        "Composed settings that differ at the points that changed",
    )
    parts.append(("Settings", [draw(settings)] if rows else []))
    shown = [(title, blocks or [draw(Notice("None.", "plain"))]) for title, blocks in parts]
    write_text(
        out,
        draw.whole("diff.html", f"{found.names[0]} and {found.names[1]}", found=found, parts=shown),
    )
    return out


def _arms(found: Difference) -> Table:
    rows: Rows = []
    for arm in found.arms:
        change = arm.difference
        words_of_arm = (
            "the very same points" if arm.same else f"{with_interval(change, 3, sign=True)}"
        )
        sizes = f"{arm.first.n} and {arm.second.n}"
        rows.append(
            [
                arm.label,
                score_number(arm.first.value, 3),
                score_number(arm.second.value, 3),
                Cell(words_of_arm, 0.0 if arm.same else change.value),
                sizes,
            ]
        )
    columns = ["arm", found.names[0], found.names[1], "difference, 95 % interval", "n"]
    notes = (
        f"Mean test {found.metric}; lost points count with {WORST}. Welch's t interval over seeds,"
        " corrected for nothing."
    )
    return Table(columns, rows, f"{count(len(rows), 'arm')} of both studies", notes, filtered=True)


def _points(draw: Templates, points: Sequence[tuple[str, str, str]], caption: str) -> list[Markup]:
    return (
        [
            draw(
                Table(
                    ["arm", "seed", "what"],
                    [list(point) for point in points],
                    caption,
                    filtered=True,
                )
            )
        ]
        if points
        else []
    )
