"""How a cell of a table is written: a number, a missing value, true or false."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import numpy as np

# Cells of a number column that hold no number, in lower case. In a column of names they are names.
MISSING = frozenset(
    {"", "na", "n/a", "#n/a", "#n/a n/a", "#na", "nan", "-nan", "<na>", "null", "none", "nat"}
    | {"\\n", "(null)", "[null]", "nil"}  # of databases
    | {"#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!"}  # of spreadsheets
)
TRUTH = {
    word: value
    for value, words in ((1.0, "true yes y t on"), (0.0, "false no n f off"))
    for word in words.split()
}
MARKS = {"point": ".", "comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}
MARKS |= {"space": " ", "apostrophe": "'"}
CURRENCY = "$€£¥₹"
_SPACES = "\u00a0\u2009\u202f"  # written between thousands
_AFFIXED = re.compile(
    rf"(?P<sign>[+-]?)\s*(?P<before>[{CURRENCY}]?)\s*(?P<inner>[+-]?)"
    rf"(?P<body>[\d.,' ]*\d[.,]?(?:[eE][+-]?\d+)?|inf(?:inity)?)\s*(?P<after>[%‰{CURRENCY}]?)",
    re.IGNORECASE,
)


def mark(name: str) -> str:
    """The character that a name such as comma or semicolon stands for; others stay as they are."""
    return MARKS.get(name, name)


def mark_name(character: str) -> str:
    """The name of a character, as a setting may have it without quotes."""
    return next((name for name, mark in MARKS.items() if mark == character), character)


@dataclass(frozen=True)
class Style:
    """How numbers are written: the decimal mark, and what separates thousands ("": nothing)."""

    decimal: str = "."
    thousands: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell read as a number: NaN if `missing`; `unit` is what stands beside the figures."""

    value: float
    unit: str = ""
    missing: bool = False


def read_cell(text: str, style: Style) -> Cell | None:
    """The number in a cell, or None if it holds something else."""
    text = usual(text)
    if text.casefold() in MISSING:
        return Cell(np.nan, missing=True)
    found = _AFFIXED.fullmatch(text)
    if not found or (found["sign"] and found["inner"]) or (found["before"] and found["after"]):
        return None
    body = found["body"]
    if body[:3].lower() != "inf":
        point, group = re.escape(style.decimal), re.escape(style.thousands)
        # 0,123 is no 123: thousands never begin with 0
        whole = rf"(\d+|[1-9]\d{{0,2}}({group}\d{{3}})+)" if style.thousands else r"\d+"
        if not re.fullmatch(rf"({whole}({point}\d*)?|{point}\d+)([eE][+-]?\d+)?", body):
            return None
        body = body.replace(style.thousands, "") if style.thousands else body
        body = body.replace(style.decimal, ".")
    value = float(body)
    negative = "-" in (found["sign"], found["inner"])
    return Cell(-value if negative else value, found["before"] or found["after"])


def usual(text: str) -> str:
    """The text with the usual minus, apostrophe and space."""
    text = text.strip().replace("−", "-").replace("’", "'")
    for space in _SPACES:
        text = text.replace(space, " ")
    return text


def hint(text: str, style: Style) -> str:
    """Which keys read a refused cell as a number, as the end of a sentence; "" if none do."""
    if read_cell(text, style) is not None:
        return ""
    found: dict[float, list[str]] = {}
    for decimal, thousands in itertools.product(".,", ("", ",", ".", " ", "'")):
        cell = None if decimal == thousands else read_cell(text, Style(decimal, thousands))
        if cell is None or cell.value in found:
            continue
        keys = [f"task.decimal={mark_name(decimal)}"] if decimal != style.decimal else []
        if thousands != style.thousands:
            keys.append(f"task.thousands={mark_name(thousands) if thousands else 'null'}")
        found[cell.value] = keys
    fewest = min(map(len, found.values()), default=0)
    return "".join(
        f"; {' '.join(keys)} reads it as {value:.15g}"
        for value, keys in found.items()
        if len(keys) == fewest
    )
