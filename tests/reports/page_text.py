"""Everything that the sections of a page say, as text, without drawing a figure."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from reports.blocks import Answer, Box, Cell, Figure, Fold, Matrices, Table
from reports.data.study import Study
from reports.documents.sections import absent_needs, build, declared_sections


def page_text(study: Study) -> dict[str, str]:
    """The text of every declared section that has something to show, by its name."""
    texts = {}
    for declared in declared_sections():
        section = build(declared)
        if not absent_needs(declared, section, study):
            texts[declared.name] = " ".join(words(section.render(study).blocks))
    return texts


def read_page(page: Path) -> str:
    """A written page as one reads it: no tags, no script, every gap one plain space."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"<(style|script)\b.*?</\1>", " ", text, flags=re.S)
    text = re.sub(r"</?(?:span|b|a|code|em|strong|i|sub|sup)\b[^>]*>", "", text)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def words(blocks: Any) -> list[str]:
    """All words of these blocks, tables and folds included."""
    said: list[str] = []
    for block in blocks:
        if isinstance(block, Fold):
            said += [block.summary, *words(block.blocks)]
        elif isinstance(block, Figure):
            said += [block.finding, block.caption, block.alt, block.how]
            said += words([block.table]) if block.table else []
        elif isinstance(block, Table):
            said += [block.caption, block.notes, *block.columns]
            said += [" | ".join(map(_cell, row)) for row in block.rows]
        elif isinstance(block, Answer):
            for line in block.lines:
                said += [line.text, *words(line.more)]
                said += [f"{step.text} {step.command}" for step in line.steps]
        elif isinstance(block, Matrices):
            said.append(block.caption)
            said += [_box(box) for one in block.matrices for row in one.boxes for box in row]
        else:
            said += [str(getattr(block, "text", ""))]
            said += [
                " ".join(map(str, item)) if isinstance(item, tuple) else str(item)
                for item in getattr(block, "items", ())
            ]
    return said


def _cell(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else cell.text


def _box(box: Box) -> str:
    return " · ".join(text for text, _ in box.lines)
