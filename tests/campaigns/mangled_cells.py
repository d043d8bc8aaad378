"""Ways in which cells are mangled, or only written otherwise: numbers, missing values, dates."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.campaigns.clean_tables import Mangled
from tests.campaigns.ways import EITHER, REFUSED, SAME, May, filled, one, told, way

MISSING = ("NA", "NaN", "nan", "NULL", "null", "None", "#N/A", "n/a", "N/A", r"\N", "#DIV/0!", " ")
NO_NUMBERS = ("o.5", "1.2.3", "5O", "12:30", "1/2", "abc", "--3", "(4)", "7-", "3 4x", "0x1F")


@way
def decimal_comma(of: Mangled, rng: np.random.Generator) -> May | None:
    named = bool(rng.random() < 0.7)
    if of.settings["decimal"] == "comma" or of.settings["thousands"] == "comma":
        return None
    for place in of.columns("number"):
        for row in of.rows:
            row[place] = row[place].replace(".", ",")
    of.settings["decimal"] = "comma" if named else "point"
    return SAME if named else REFUSED


@way
def thousands(of: Mangled, rng: np.random.Generator) -> May | None:
    point = of.settings["decimal"] == "point"
    marks = {"comma" if point else "point": "," if point else ".", "space": "\u202f"}
    name = ["apostrophe", *marks][rng.integers(3)]
    mark = {**marks, "apostrophe": "'’"[rng.integers(2)]}[name]
    grouped = 0
    for place in of.columns("number"):
        for row in of.rows:
            whole, _, rest = row[place].partition("." if point else ",")
            if whole.strip().lstrip("-").isdigit() and len(whole.strip().lstrip("-")) > 3:
                more = f"{int(whole):,}".replace(",", mark)
                row[place] = f"{more}{'.' if point else ','}{rest}" if rest else more
                grouped += 1
    if not grouped:
        return None
    of.settings["thousands"] = name if rng.random() < 0.6 else None
    return SAME if of.settings["thousands"] else REFUSED


@way
def thousands_alone(of: Mangled, rng: np.random.Generator) -> May | None:
    """1.234 for 1234 in a column of whole numbers, without the key."""
    if of.done:
        return None
    for place in of.columns("number"):
        for n, row in enumerate(of.rows):
            row[place] = f"{300 + n * 1237 % 9000:,}".replace(",", ".")
    return told("three decimals or none")


@way
def writings(of: Mangled, rng: np.random.Generator) -> May | None:
    """Numbers written in other ways of the same value."""
    if of.settings["decimal"] != "point" or of.settings["thousands"]:
        return None
    for place in of.columns("number"):
        for row in of.rows:
            cell = row[place]
            if cell and cell.strip().replace(".", "").lstrip("-").isdigit():
                cell = cell.strip()
                whole, _, rest = cell.partition(".")
                row[place] = (
                    cell, f"+{cell}" if cell[0] != "-" else cell, f"{cell}e0", f"{cell}00",
                    cell.replace("-", "−"), f"{whole}{rest}E-{len(rest)}",
                )[rng.integers(6)]  # fmt: skip
    return SAME


@way
def unit(of: Mangled, rng: np.random.Generator) -> May | None:
    place, sign = one(rng, of.columns("number")), ("%", " %", " €", "$")[rng.integers(4)]
    for row in of.rows:
        row[place] = (
            f"{row[place].strip()}{sign}"
            if any("0" <= c <= "9" for c in row[place])
            else row[place]
        )
    return SAME


@way
def unit_of_one(of: Mangled, rng: np.random.Generator) -> May | None:
    place = one(rng, of.columns("number"))
    row = of.rows[one(rng, filled(of, place))]
    row[place] = f"{row[place].strip()} {('%', 'kg', 'USD', '€')[rng.integers(4)]}"
    return REFUSED


@way
def words_of_missing(of: Mangled, rng: np.random.Generator) -> May | None:
    word = MISSING[rng.integers(len(MISSING))]
    cells = 0
    for place in of.columns("number"):
        for row in of.rows:
            if not row[place]:
                row[place], cells = word, cells + 1
    return SAME if cells else None


@way
def other_words(of: Mangled, rng: np.random.Generator) -> May | None:
    word = ("?", "-", ".", "missing", "k. A.", "—", "x")[rng.integers(7)]
    cells = 0
    for place in of.columns("number"):
        for row in of.rows:
            if not row[place]:
                row[place], cells = word, cells + 1
    return EITHER if cells else None


@way
def no_number(of: Mangled, rng: np.random.Generator) -> May | None:
    place = one(rng, of.columns("number"))
    of.rows[one(rng, filled(of, place))][place] = NO_NUMBERS[rng.integers(len(NO_NUMBERS))]
    return REFUSED


@way
def infinite(of: Mangled, rng: np.random.Generator) -> May | None:
    place = one(rng, of.columns("number"))
    row = one(rng, filled(of, place))
    of.rows[row][place] = ("inf", "-inf", "Infinity", "1e999")[rng.integers(4)]
    return told("missing or infinite values") if of.settings["missing"] != "refuse" else REFUSED


@way
def sentinel(of: Mangled, rng: np.random.Generator) -> May | None:
    place = one(rng, of.columns("number"))
    mark = ("-999999", "9999999", "-99999.0", "1e30", "-2147483648")[rng.integers(5)]
    if of.settings["decimal"] == "comma":
        mark = mark.replace(".", ",")
    for row in rng.choice(filled(of, place), int(rng.integers(1, 5)), replace=False):
        of.rows[row][place] = mark
    return told("far from the other values")


@way
def dates_otherwise(of: Mangled, rng: np.random.Generator) -> May | None:
    if not of.columns("date") or "dates_not_iso" in of.done:
        return None
    place = of.columns("date")[0]
    form = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.%f", "%Y/%m/%d %H:%M", "%Y%m%d%H%M%S",
            "%Y-%m-%dT%H:%MZ", "%Y-%m-%d %H:%M+05:30", "%Y%m%d%H")[rng.integers(7)]  # fmt: skip
    for row in of.rows:
        row[place] = _stamp(row[place]).strftime(form)
    return SAME


@way
def dates_not_iso(of: Mangled, rng: np.random.Generator) -> May | None:
    if not of.columns("date"):
        return None
    place = of.columns("date")[0]
    form = ("%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M", "%d-%b-%y %H:%M")[rng.integers(4)]
    some = rng.random(len(of.rows)) < (1.0, 0.3)[rng.integers(2)]
    if not some.any():
        return None
    if some.all() and rng.random() < 0.5:
        of.settings["date_format"] = form
    for row, other in zip(of.rows, some, strict=True):
        if other:
            row[place] = _stamp(row[place]).strftime(form)
    if not some.all():
        return REFUSED
    return EITHER if of.settings["date_format"] is None else SAME


@way
def zones_in_some(of: Mangled, rng: np.random.Generator) -> May | None:
    if not of.columns("date") or "dates_not_iso" in of.done:
        return None
    place, first = of.columns("date")[0], int(rng.integers(1, len(of.rows) - 1))
    for n, row in enumerate(of.rows):
        zone = ("Z", "+02:00", "-05:00")[rng.integers(3)] if n >= first else ""
        row[place] = _stamp(row[place]).strftime("%Y-%m-%dT%H:%M") + zone
    return REFUSED


def _stamp(cell: str) -> pd.Timestamp:
    """The time in a cell of dates, also in one that was written otherwise."""
    figures = "".join(c for c in cell.strip()[:19] if c.isdigit())
    return pd.Timestamp(
        int(figures[:4]), *(int(figures[n : n + 2]) for n in range(4, len(figures), 2))
    )
