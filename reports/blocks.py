"""Blocks that a section is made of, each rendered by its template.

Text is escaped; Markup is not.
"""

from __future__ import annotations

import re
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
    """Something that the reader must not miss. kind: caution | error | banner | plain."""

    template: ClassVar[str] = "blocks/notice.html"
    text: str
    kind: str = "caution"
    items: Sequence[str] = ()


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, the value to sort by (default: the text), and a CSS class."""

    text: str
    sort: float | str | None = None
    kind: str = ""


Rows = list[list[Cell | str]]
LONG = 24  # characters from which names in the first column may break


@dataclass(frozen=True)
class Table:
    """Rows of cells or texts; the first cells of a row, `heads` of them, are its headers.

    Sortable by click and keyboard; `filtered` adds a search field. `arms`: of each row, which arms
    it is about, as figures.marks.ranges writes them; documents.touch finds them.
    """

    template: ClassVar[str] = "blocks/table.html"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str
    notes: str = ""
    filtered: bool = False
    heads: int = 1
    arms: Sequence[str] = ()

    @property
    def long(self) -> bool:
        """Whether names in the first column may break, so that the other columns stay visible."""
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
class Step:
    """A sentence, and the command that does what it says."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Bullets:
    """Sentences as a list."""

    template: ClassVar[str] = "blocks/bullets.html"
    items: Sequence[str]


@dataclass(frozen=True)
class AnswerLine:
    """A line of the answer: its name, a sentence or two, steps in a list, and blocks in a fold."""

    name: str
    text: str
    steps: Sequence[Step] = ()
    more: Sequence[Any] = ()
    fold: str = ""


@dataclass(frozen=True)
class Answer:
    """The answer of a study in a few lines, the first thing on its page."""

    template: ClassVar[str] = "blocks/answer.html"
    lines: Sequence[AnswerLine]


@dataclass(frozen=True)
class Box:
    """A box of a matrix: lines of (text, CSS class), a class of its own, and its arm's number."""

    lines: Sequence[tuple[str, str]]
    kind: str = ""
    arm: str = ""


@dataclass(frozen=True)
class Matrix:
    """Rows × columns of boxes under a title."""

    title: str
    corner: str
    rows: Sequence[str]
    columns: Sequence[str]
    boxes: Sequence[Sequence[Box]]


@dataclass(frozen=True)
class Matrices:
    """Matrices side by side, with a caption and a legend of (text, CSS class)."""

    template: ClassVar[str] = "blocks/matrices.html"
    matrices: Sequence[Matrix]
    caption: str
    legend: Sequence[tuple[str, str]] = ()
    compact: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture with its finding.

    `caption`: what is drawn; `alt`: the finding alone; `table`: the numbers behind it; `how`: how
    to read it, folded; [word] or [word|term] in it links to the glossary.
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
class Card:
    """A claim for a classroom: its verdict, what was found, its formula (as
    documents.templates.formula reads it) in words, and a figure.
    """

    statement: str
    verdict: str
    found: str
    formula: str
    means: str = ""
    figure: Figure | None = None


@dataclass(frozen=True)
class Cards:
    """Cards side by side, as many as there is room for."""

    template: ClassVar[str] = "blocks/cards.html"
    cards: Sequence[Card]


@dataclass(frozen=True)
class Definitions:
    """Pairs of (term, text)."""

    template: ClassVar[str] = "blocks/definitions.html"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Terms:
    """Terms that links on the page lead to: (id, word, meaning, formula or "")."""

    template: ClassVar[str] = "blocks/terms.html"
    items: Sequence[tuple[str, str, str, str]]


@dataclass(frozen=True)
class Listing:
    """Text as typed or printed."""

    template: ClassVar[str] = "blocks/listing.html"
    text: str


@dataclass(frozen=True)
class Downloads:
    """Files inside the page: (file name, description, data URI, SHA-256, bytes)."""

    template: ClassVar[str] = "blocks/downloads.html"
    items: Sequence[tuple[str, str, str, str, int]]


@dataclass(frozen=True)
class Filled:
    """Text from a template in reports/templates, which gets `values`."""

    template: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """What a section returns: blocks for the page, and frames to keep in tables/NAME.parquet.

    `finding`: one short sentence, the heading of the folded section; where it is empty, the finding
    of its first figure or else the first sentence of its first paragraph. `title`: in place of the
    title of its class.
    """

    blocks: Sequence[Any]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    finding: str = ""
    title: str = ""

    @property
    def heading(self) -> str:
        """`finding`, or what stands for it; "" where no block says anything."""
        said = [self.finding, *(one.finding for one in self.blocks if isinstance(one, Figure))]
        said += [_first_sentence(one.text) for one in self.blocks if isinstance(one, Prose)]
        return next((text for text in said if text), "")


def _first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence, which no decimal and no list does."""
    return re.split(r"(?<=[.?]) (?=[A-Z“])", text.strip(), maxsplit=1)[0]
