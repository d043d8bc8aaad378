"""Tables as people mangle them: each is refused with a line, or read to the clean one's values.

A clean table is made, then mangled in one to three ways. Each way says what may become of the
table: SAME (the reader must undo it, by itself or by the key that is given), REFUSED, EITHER, or
`told` (a warning about just that, which the clean table does not have). What never may happen is
other values without a word.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import yaml

from study.records import StudyError
from study.tasks.csv import Csv
from study.tasks.shared import batches
from tests import ROOT

SETTINGS: dict[str, Any] = {
    "kind": "classification", "target": "label", "series": None, "time": None, "date_format": None,
    "group": None, "part": None, "features": None, "categories": None, "separator": "comma",
    "decimal": "point",
    "thousands": None, "encoding": None, "missing": "refuse", "gaps": "refuse", "resample": None,
    "elapsed": False, "window": 4, "horizon": 1, "stride": 1, "season": None,
    "split": "stratified", "validation": 0.2, "test": 0.2, "split_seed": 0, "lag": None,
    "solved": None,
}  # fmt: skip


@dataclass(frozen=True)
class May:
    """What may become of a table: same, refused; with `about`, also other values and a warning
    that has these words."""

    ended: frozenset[str]
    about: str = ""


SAME, REFUSED = May(frozenset({"same"})), May(frozenset({"refused"}))
EITHER = May(frozenset({"same", "refused"}))


def told(about: str) -> May:
    return May(EITHER.ended, about)


SEPARATORS = {";": "semicolon", "\t": "tab", "|": "pipe"}
MISSING = ("NA", "NaN", "nan", "NULL", "null", "None", "#N/A", "n/a", "N/A", r"\N", "#DIV/0!", " ")
NO_NUMBERS = ("o.5", "1.2.3", "5O", "12:30", "1/2", "abc", "--3", "(4)", "7-", "3 4x", "0x1F")


@dataclass
class Mangled:
    """A table on its way to a file. kinds: by column: number, whole, text, date, id or class."""

    header: list[str]
    rows: list[list[str]]
    kinds: list[str]
    settings: dict[str, Any]
    form: str
    separator: str = ","
    newline: str = "\n"
    encoding: str = "utf-8"
    quoted: float = 0.0  # share of cells
    title: str = ""
    blank: tuple[int, int] = (0, 0)  # lines before and after
    pack: Callable[[bytes], bytes] | None = None
    bytes_too: list[Callable[[bytes], bytes]] = field(default_factory=list)
    block: int | None = None
    typed: bool = False  # written as Parquet
    done: list[str] = field(default_factory=list)

    def columns(self, *kinds: str) -> list[int]:
        return [place for place, kind in enumerate(self.kinds) if kind in kinds]

    def copy(self) -> Mangled:
        made = Mangled(**vars(self))
        made.header, made.kinds = list(self.header), list(self.kinds)
        made.rows, made.settings = [list(row) for row in self.rows], dict(self.settings)
        made.bytes_too, made.done = list(self.bytes_too), list(self.done)
        return made

    def has_its_characters(self) -> bool:
        """Whether the encoding can write all of it."""
        try:
            "".join(cell for row in [self.header, *self.rows] for cell in row).encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def data(self, rng: np.random.Generator) -> bytes:
        if self.typed:
            return _parquet(self)
        lines = [
            self.separator.join(self._cell(cell, rng) for cell in row)
            for row in [self.header, *self.rows]
        ]
        lines = [""] * self.blank[0] + [self.title] * bool(self.title) + lines
        text = self.newline.join([*lines, *[""] * (self.blank[1] + 1)])
        data = text.encode(self.encoding)
        for change in self.bytes_too:
            data = change(data)
        return data if self.pack is None else self.pack(data)

    def _cell(self, cell: str, rng: np.random.Generator) -> str:
        needs = any(mark in cell for mark in (self.separator, '"', "\n"))
        if needs or (self.quoted and rng.random() < self.quoted):
            doubled = cell.replace('"', '""')
            return f'"{doubled}"'
        return cell


# --- clean tables ---------------------------------------------------------------------------------


def clean(rng: np.random.Generator) -> Mangled:
    return [_wide, _long, _long, _forecast, _forecast][rng.integers(5)](rng)


def _number(rng: np.random.Generator, large: bool) -> str:
    value = rng.normal(3000, 2000) if large else rng.normal()
    return f"{value:.{rng.integers(1, 5)}f}"


def _wide(rng: np.random.Generator) -> Mangled:
    width, count, large = (
        int(rng.integers(2, 6)),
        int(rng.integers(20, 40)),
        bool(rng.random() < 0.4),
    )
    header = [*(f"t{n}" for n in range(width)), "label"]
    of = "class" if rng.random() < 0.7 else "number"
    rows = [
        [
            *(_number(rng, large) for _ in range(width)),
            ("up", "down", "süd")[rng.integers(3)] if of == "class" else _number(rng, large),
        ]
        for _ in range(count)
    ]
    settings = {"kind": "classification" if of == "class" else "regression"}
    _with_gaps(rng, rows, range(width), settings)
    return Mangled(header, rows, [*["number"] * width, of], {**SETTINGS, **settings}, "wide")


def _long(rng: np.random.Generator) -> Mangled:
    series, large, dates = int(rng.integers(10, 18)), bool(rng.random() < 0.4), rng.random() < 0.5
    channels, text = int(rng.integers(1, 4)), bool(rng.random() < 0.4)
    header = ["id", "when", *(f"f{n}" for n in range(channels)), *["sky"] * text, "label"]
    kinds = ["id", "date" if dates else "whole", *["number"] * channels, *["text"] * text, "class"]
    rows = []
    for number in range(series):
        stamps = pd.date_range("2024-02-27", periods=int(rng.integers(3, 8)), freq="D")
        rows += [
            [
                f"s{number}", stamp.strftime("%Y-%m-%d") if dates else str(step),
                *(_number(rng, large) for _ in range(channels)),
                *[("sun", "rain", "fog")[rng.integers(3)]] * text,
                ("up", "down")[number % 2],
            ]
            for step, stamp in enumerate(stamps)
        ]  # fmt: skip
    settings: dict[str, Any] = {"series": "id", "time": "when"}
    settings |= {"categories": "auto"} if text else {}
    settings |= {"elapsed": True} if rng.random() < 0.2 else {}
    _with_gaps(rng, rows, range(2, 2 + channels), settings)
    return Mangled(header, rows, kinds, {**SETTINGS, **settings}, "long")


def _forecast(rng: np.random.Generator) -> Mangled:
    count, large, step = (
        int(rng.integers(60, 90)),
        bool(rng.random() < 0.4),
        ("D", "h")[rng.integers(2)],
    )
    stamps = pd.date_range("2024-02-25", periods=count, freq=step)
    shown = "%Y-%m-%d" if step == "D" else "%Y-%m-%d %H:%M"
    rows = [[stamp.strftime(shown), _number(rng, large), _number(rng, large)] for stamp in stamps]
    settings: dict[str, Any] = {"kind": "forecast", "time": "when"}
    _with_gaps(rng, rows, [1], settings)
    return Mangled(
        ["when", "f0", "label"], rows, ["date", "number", "number"], {**SETTINGS, **settings},
        "forecast",
    )  # fmt: skip


def _with_gaps(
    rng: np.random.Generator, rows: list[list[str]], columns: Any, settings: dict[str, Any]
) -> None:
    """Some cells without a value, never at a row's end or in a first row."""
    if rng.random() < 0.4:
        settings["missing"] = "mean"
        for row in rng.choice(np.arange(1, len(rows)), 4, replace=False):
            rows[row][columns[0]] = ""


# --- ways to mangle -------------------------------------------------------------------------------

Way = Callable[[Mangled, np.random.Generator], May | None]  # None: not for this table
WAYS: dict[str, Way] = {}


def way(one: Way) -> Way:
    WAYS[one.__name__] = one
    return one


def _one(rng: np.random.Generator, places: Any) -> int:
    return int(rng.choice(np.asarray(places)))


def _filled(of: Mangled, column: int) -> list[int]:
    return [n for n, row in enumerate(of.rows) if row[column]]


@way
def other_separator(of: Mangled, rng: np.random.Generator) -> May | None:
    of.separator = list(SEPARATORS)[rng.integers(3)]
    of.settings["separator"] = SEPARATORS[of.separator]
    return SAME


@way
def unnamed_separator(of: Mangled, rng: np.random.Generator) -> May | None:
    of.separator, of.settings["separator"] = list(SEPARATORS)[rng.integers(3)], "comma"
    return REFUSED


@way
def quotes(of: Mangled, rng: np.random.Generator) -> May | None:
    of.quoted = (0.3, 1.0)[rng.integers(2)]
    return SAME


@way
def line_ends(of: Mangled, rng: np.random.Generator) -> May | None:
    of.newline = ("\r\n", "\r")[rng.integers(2)]
    return SAME


@way
def encodings(of: Mangled, rng: np.random.Generator) -> May | None:
    of.encoding, key = (
        ("utf-16", None), ("utf-8-sig", None), ("utf-16-le", "utf-16-le"), ("utf-32", None),
        ("latin-1", "latin-1"), ("cp1252", "cp1252"), ("utf-16-be", "utf-16-be"),
    )[rng.integers(7)]  # fmt: skip
    of.settings["encoding"] = key
    return SAME


@way
def unnamed_encoding(of: Mangled, rng: np.random.Generator) -> May | None:
    of.encoding, of.settings["encoding"] = ("utf-16-le", "latin-1")[rng.integers(2)], None
    plain = all(cell.isascii() for row in of.rows for cell in row)
    return EITHER if plain and of.encoding == "latin-1" else REFUSED


@way
def packed(of: Mangled, rng: np.random.Generator) -> May | None:
    of.pack = (gzip.compress, bz2.compress, lzma.compress, _zip)[rng.integers(4)]
    return SAME


@way
def blank_lines(of: Mangled, rng: np.random.Generator) -> May | None:
    of.blank = (int(rng.integers(3)), int(rng.integers(3)))
    return SAME


@way
def blanks(of: Mangled, rng: np.random.Generator) -> May | None:
    for row in of.rows:
        for place, cell in enumerate(row):
            if cell and rng.random() < 0.3:
                row[place] = f" {cell}" if rng.random() < 0.5 else f"{cell} "
    return SAME


@way
def small_blocks(of: Mangled, rng: np.random.Generator) -> May | None:
    of.block = 1
    return SAME


@way
def parquet(of: Mangled, rng: np.random.Generator) -> May | None:
    of.typed = True
    return SAME


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
    place, sign = _one(rng, of.columns("number")), ("%", " %", " €", "$")[rng.integers(4)]
    for row in of.rows:
        row[place] = (
            f"{row[place].strip()}{sign}"
            if any("0" <= c <= "9" for c in row[place])
            else row[place]
        )
    return SAME


@way
def unit_of_one(of: Mangled, rng: np.random.Generator) -> May | None:
    place = _one(rng, of.columns("number"))
    row = of.rows[_one(rng, _filled(of, place))]
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
    place = _one(rng, of.columns("number"))
    of.rows[_one(rng, _filled(of, place))][place] = NO_NUMBERS[rng.integers(len(NO_NUMBERS))]
    return REFUSED


@way
def infinite(of: Mangled, rng: np.random.Generator) -> May | None:
    place = _one(rng, of.columns("number"))
    row = _one(rng, _filled(of, place))
    of.rows[row][place] = ("inf", "-inf", "Infinity", "1e999")[rng.integers(4)]
    return told("missing or infinite values") if of.settings["missing"] != "refuse" else REFUSED


@way
def sentinel(of: Mangled, rng: np.random.Generator) -> May | None:
    place = _one(rng, of.columns("number"))
    mark = ("-999999", "9999999", "-99999.0", "1e30", "-2147483648")[rng.integers(5)]
    if of.settings["decimal"] == "comma":
        mark = mark.replace(".", ",")
    for row in rng.choice(_filled(of, place), int(rng.integers(1, 5)), replace=False):
        of.rows[row][place] = mark
    return told("far from the other values")


@way
def more_columns(of: Mangled, rng: np.random.Generator) -> May | None:
    """Columns that are no features: an index, text, dates, blanks."""
    count = len(of.rows)
    names, cells, kind = (
        ("", [str(n) for n in range(count)], "index"),
        ("n", [str(n + 1) for n in range(count)], "index"),
        ("note", [f'it\'s {n}, "fine"' for n in range(count)], "index"),
        ("", [""] * count, "blank"),
        ("day", ["2024-01-01"] * count, "index"),
    )[rng.integers(5)]
    if of.settings["categories"] is not None or names in of.header:
        return None
    place = 0 if kind == "index" and not names else len(of.header)
    of.header.insert(place, names)
    of.kinds.insert(place, "other")
    for row, cell in zip(of.rows, cells, strict=True):
        row.insert(place, cell)
    return told("column day") if names == "day" and of.form != "wide" else SAME


@way
def roles_elsewhere(of: Mangled, rng: np.random.Generator) -> May | None:
    order = [n for n, kind in enumerate(of.kinds) if kind in ("number", "text", "other")]
    for place in of.columns("id", "class", "date", "whole"):
        order.insert(int(rng.integers(len(order) + 1)), place)
    if of.form != "long" or any(not of.header[n] for n in order):
        return None
    of.header = [of.header[n] for n in order]
    of.kinds = [of.kinds[n] for n in order]
    of.rows = [[row[n] for n in order] for row in of.rows]
    return SAME


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


@way
def rows_in_another_order(of: Mangled, rng: np.random.Generator) -> May | None:
    if of.form != "forecast":
        return None
    of.rows = [of.rows[n] for n in rng.permutation(len(of.rows))]
    return (
        told("column n ") if "n" in of.header else SAME
    )  # a column that counted the rows does no more


@way
def a_row_less(of: Mangled, rng: np.random.Generator) -> May | None:
    if of.form != "forecast" or of.done:
        return None
    del of.rows[int(rng.integers(5, len(of.rows) - 5))]
    return REFUSED


@way
def a_row_twice(of: Mangled, rng: np.random.Generator) -> May | None:
    place = int(rng.integers(len(of.rows)))
    if of.form == "wide" and sum(map(len, of.rows[place])) < 25:
        return None  # of a few figures, copies may be accidents
    of.rows.insert(place, list(of.rows[place]))
    return told("copies of others") if of.form == "wide" else REFUSED


@way
def ragged(of: Mangled, rng: np.random.Generator) -> May | None:
    row = of.rows[int(rng.integers(len(of.rows)))]
    row.append("") if rng.random() < 0.5 else row.pop()
    return REFUSED


@way
def cut_off(of: Mangled, rng: np.random.Generator) -> May | None:
    of.rows[-1] = of.rows[-1][: int(rng.integers(1, len(of.header)))]
    return REFUSED if any(of.rows[-1]) else None  # a blank line is none


@way
def another_header(of: Mangled, rng: np.random.Generator) -> May | None:
    of.rows.insert(int(rng.integers(1, len(of.rows))), list(of.header))
    return REFUSED


@way
def units_below(of: Mangled, rng: np.random.Generator) -> May | None:
    of.rows.insert(0, [("kg", "m/s", "°C", "[-]")[rng.integers(4)] for _ in of.header])
    return REFUSED


@way
def title(of: Mangled, rng: np.random.Generator) -> May | None:
    of.title = ("# exported by a device", "Report 2024", "sep=,", "#" * 20)[rng.integers(4)]
    return REFUSED


@way
def comment(of: Mangled, rng: np.random.Generator) -> May | None:
    of.rows.insert(int(rng.integers(1, len(of.rows))), ["# calibrated"])
    return REFUSED


@way
def no_header(of: Mangled, rng: np.random.Generator) -> May | None:
    of.header, *of.rows = of.rows
    return REFUSED


@way
def two_of_a_name(of: Mangled, rng: np.random.Generator) -> May | None:
    of.header[0] = of.header[-1]
    return REFUSED if of.header[0] else told("no name")


@way
def total(of: Mangled, rng: np.random.Generator) -> May | None:
    numbers = of.columns("number")
    if of.settings["decimal"] != "point" or of.settings["thousands"] or of.done:
        return None
    row = ["Total"] * len(of.header)
    for place in numbers:
        row[place] = f"{sum(float(each[place] or 0) for each in of.rows):.4f}"
    for place in of.columns("class"):
        row[place] = of.rows[0][place]
    of.rows.append(row)
    return told("sum|far from")


@way
def two_writings_of_a_name(of: Mangled, rng: np.random.Generator) -> May | None:
    places = of.columns("id", "class")
    if not places:
        return None
    place, change = _one(rng, places), (
        str.upper,
        lambda name: name[0] + "\u200b" + name[1:],
        lambda name: name.translate(str.maketrans("spo", "ѕро")),  # Cyrillic
        lambda name: name[0] + " " + name[1:],
    )[rng.integers(4)]  # fmt: skip
    row = of.rows[_one(rng, _filled(of, place))]
    row[place] = change(row[place].strip())
    return told("read as two names")


@way
def blanks_around_names(of: Mangled, rng: np.random.Generator) -> May | None:
    for place in of.columns("id", "class"):
        for row in of.rows:
            row[place] = (" ", "", "\u00a0")[rng.integers(3)] + row[place]
    return SAME if of.columns("id", "class") else None


@way
def no_name(of: Mangled, rng: np.random.Generator) -> May | None:
    places = of.columns("id", "class")
    if not places:
        return None
    of.rows[int(rng.integers(len(of.rows)))][_one(rng, places)] = ("", " ", "NA")[rng.integers(3)]
    return told("read as a name")


@way
def zero_byte(of: Mangled, rng: np.random.Generator) -> May | None:
    of.bytes_too.append(lambda data: _inserted(data, b"\0" * 4, rng))
    return REFUSED


@way
def no_text(of: Mangled, rng: np.random.Generator) -> May | None:
    if of.encoding != "utf-8":
        return None
    of.bytes_too.append(lambda data: _inserted(data, b"\xff\xfe\xfa", rng))
    return REFUSED if of.settings["encoding"] is None else None


@way
def open_quote(of: Mangled, rng: np.random.Generator) -> May | None:
    mark = (of.separator + '"').encode(of.encoding).removeprefix("".encode(of.encoding))
    if of.encoding != "utf-8" or of.quoted:
        return None
    plain = of.separator.encode()
    row = int(rng.integers(1, len(of.rows)))

    def change(data: bytes) -> bytes:
        lines = data.split(of.newline.encode())
        lines[row + of.blank[0]] = lines[row + of.blank[0]].replace(plain, mark, 1)
        return of.newline.encode().join(lines)

    of.bytes_too.append(change)
    return REFUSED


@way
def row_names_of_r(of: Mangled, rng: np.random.Generator) -> May | None:
    """Rows with names, for which the header has none."""
    if of.done or "" in of.header:
        return None
    of.quoted = 1.0
    of.rows = [[f"r{n}", *row] for n, row in enumerate(of.rows)]
    return told("the name of the row")


@way
def lone_return(of: Mangled, rng: np.random.Generator) -> May | None:
    if of.newline != "\n" or of.encoding != "utf-8" or of.quoted:
        return None
    number = int(rng.integers(len(of.rows)))

    def change(data: bytes) -> bytes:
        first, *lines = data.split(b"\n")
        ends = [b"\r" if n == number else b"\n" for n in range(len(lines))]
        return first + b"".join(end + line for end, line in zip(ends, lines, strict=True))

    of.bytes_too.append(change)
    return REFUSED


def _stamp(cell: str) -> pd.Timestamp:
    """The time in a cell of dates, also in one that was written otherwise."""
    figures = "".join(c for c in cell.strip()[:19] if c.isdigit())
    return pd.Timestamp(
        int(figures[:4]), *(int(figures[n : n + 2]) for n in range(4, len(figures), 2))
    )


def _inserted(data: bytes, what: bytes, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(2, len(data) // 4)) * 4
    return data[:place] + what + data[place:]


def _zip(data: bytes) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as files:
        files.writestr("table.csv", data)
    return into.getvalue()


def _parquet(of: Mangled) -> bytes:
    frame = pd.DataFrame(of.rows, columns=of.header)
    for place, name in enumerate(of.header):
        if of.kinds[place] in ("number", "whole"):
            frame[name] = pd.to_numeric(frame[name])
        elif of.kinds[place] == "date":
            frame[name] = pd.to_datetime(frame[name])
        elif of.kinds[place] in ("text", "class"):
            frame[name] = frame[name].astype("category")
    return frame.to_parquet(index=False)


# --- one table ------------------------------------------------------------------------------------

ALONE = {"parquet"}  # what no other way can be joined to


def mangled(of: Mangled, rng: np.random.Generator) -> tuple[Mangled, May]:
    """(the table, what may become of it)."""
    made, may = of.copy(), SAME
    for name in rng.choice(sorted(WAYS), min(int(rng.integers(1, 4)), len(WAYS)), replace=False):
        if made.done and (name in ALONE or ALONE & set(made.done)):
            continue
        if may != SAME:  # after that, others may hide what it did
            break
        tried = made.copy()
        how = WAYS[name](tried, rng)
        if how is None or not tried.has_its_characters():
            continue
        tried.done.append(str(name))
        made, may = tried, how
    return made, may


@dataclass(frozen=True)
class Outcome:
    """ended: read, refused; values: what is compared; warnings: of a table that is read."""

    ended: str
    values: Any = None
    warnings: tuple[str, ...] = ()
    told: str = ""


def outcome(path: Path, settings: dict[str, Any], block: int | None = None) -> Outcome:
    """What becomes of a file; exceptions that are no refusal pass through."""
    declared = yaml.safe_load((ROOT / "conf" / "task" / "csv.yaml").read_text(encoding="utf-8"))
    known = {key: value for key, value in declared.items() if key not in ("defaults", "_target_")}
    task = Csv(**{**known, **settings, "path": str(path)})
    try:
        with mock.patch.object(batches, "BLOCK", block or batches.BLOCK):
            task.load()
    except StudyError as error:
        return Outcome("refused", told=str(error))
    parts = {
        part: tuple(
            None if one is None else (tuple(one.shape), one.numpy().tobytes())
            for one in (of.x, of.y, of.lengths)
        )
        for part, of in task.parts.items()
    }
    values = (parts, list(task.classes), list(task.data.columns), task.data_hash())
    return Outcome("read", values, tuple(task.facts.warnings))


def judged(seed: int, folder: Path) -> tuple[str, str, Path]:
    """(what became of the table of this seed, what is wrong or "", the file)."""
    rng = np.random.default_rng(seed)
    of = clean(rng)
    plain = folder / "clean.csv"
    plain.write_bytes(of.data(rng))
    expected = outcome(plain, of.settings)
    if expected.ended != "read":
        return "clean", f"the clean table is refused: {expected.told}", plain
    made, may = mangled(of, rng)
    path = folder / "mangled.csv"
    path.write_bytes(made.data(rng))
    got = outcome(path, made.settings, made.block)
    if got.ended == "refused":
        ended = "refused"
    elif got.values == expected.values:
        ended = "same"
    else:
        new = [one for one in got.warnings if one not in expected.warnings]
        ended = "told" if may.about and any(re.search(may.about, one) for one in new) else "other"
    if ended == "refused" and not got.told.startswith(("task.", "task:")):
        return ended, f"a refusal without a key: {got.told}", path
    if ended == "told" or ended in may.ended:
        return ended, "", path
    keys = {key: value for key, value in made.settings.items() if SETTINGS[key] != value}
    shown = got.told if ended == "refused" else "; ".join(got.warnings)
    return (
        ended,
        f"{' + '.join(made.done)}: {ended}, may be {sorted(may.ended)} {may.about!r} "
        f"({shown[:300]}) {keys}",
        path,
    )
