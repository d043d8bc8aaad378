"""What a section is made of: plain values, each drawn by a template of its own.

Text is escaped; Markup is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd


@dataclass(frozen=True)
class Prose:
    """A paragraph. kind: "" | lead | small."""

    template: ClassVar[str] = "blocks/prose.html"
    text: str
    kind: str = ""


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    template: ClassVar[str] = "blocks/heading.html"
    text: str


@dataclass(frozen=True)
class Notice:
    """Something the reader must not miss. kind: caution | error | banner | plain."""

    template: ClassVar[str] = "blocks/notice.html"
    text: str
    kind: str = "caution"
    items: Sequence[str] = ()


@dataclass(frozen=True)
class Cell:
    """A table's cell: what it shows, what it sorts by (default: what it shows), a CSS class, a
    header of its row or not.
    """

    text: str
    sort: float | str | None = None
    kind: str = ""


Rows = list[list[Cell | str]]
LONG = 24  # letters in the first column from which it breaks


@dataclass(frozen=True)
class Table:
    """Rows of cells or texts.

    Sortable by click and keyboard; `filtered` adds a search field; the first column heads its row.
    """

    template: ClassVar[str] = "blocks/table.html"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str
    notes: str = ""
    filtered: bool = False

    @property
    def long(self) -> bool:
        """Whether names in the first column may break, so that the others stay in sight."""
        return any(
            len(row[0] if isinstance(row[0], str) else row[0].text) > LONG
            for row in self.rows
            if row
        )


@dataclass(frozen=True)
class Fold:
    """Blocks behind a summary line."""

    template: ClassVar[str] = "blocks/fold.html"
    summary: str
    blocks: Sequence[Any]


@dataclass(frozen=True)
class Facts:
    """A row of few numbers: (label, value, note)."""

    template: ClassVar[str] = "blocks/facts.html"
    items: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Box:
    """One box of a matrix: lines of (text, CSS class), a class of its own, a longer text for
    readers that speak.
    """

    lines: Sequence[tuple[str, str]]
    kind: str = ""


@dataclass(frozen=True)
class Matrix:
    """Rows × columns of boxes under a title; several stand side by side."""

    title: str
    corner: str
    rows: Sequence[str]
    columns: Sequence[str]
    boxes: Sequence[Sequence[Box]]


@dataclass(frozen=True)
class Matrices:
    template: ClassVar[str] = "blocks/matrices.html"
    matrices: Sequence[Matrix]
    caption: str
    legend: Sequence[tuple[str, str]] = ()
    compact: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture with its finding.

    `caption` says what is drawn; `alt` states the finding alone; `table` lies behind it.

    `how`: how to read it, folded out on demand; [word] or [word|term] in it leads to the glossary's
    term.
    """

    template: ClassVar[str] = "blocks/figure.html"
    picture: Any  # a reports.figures.theme.Picture, or Markup
    caption: str
    alt: str
    table: Table | None = None
    width: float = 10.0  # inches as drawn
    finding: str = ""
    how: str = ""


@dataclass(frozen=True)
class Definitions:
    template: ClassVar[str] = "blocks/definitions.html"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Terms:
    """Words of the page, each a place that links lead to: (id, word, meaning, formula or "")."""

    template: ClassVar[str] = "blocks/terms.html"
    items: Sequence[tuple[str, str, str, str]]


@dataclass(frozen=True)
class Listing:
    """Text as typed or printed."""

    template: ClassVar[str] = "blocks/listing.html"
    text: str


@dataclass(frozen=True)
class Downloads:
    """Files inside the page: (file name, what it is, data URI, SHA-256, bytes)."""

    template: ClassVar[str] = "blocks/downloads.html"
    items: Sequence[tuple[str, str, str, str, int]]


@dataclass(frozen=True)
class Filled:
    """Text from a template in reports/templates, which gets `values`."""

    template: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """What a section's render returns: blocks for the page, and frames worth keeping, written to
    tables/NAME.parquet of the study.
    """

    blocks: Sequence[Any]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
