"""Tables without a fault, of all forms, on their way to a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

SETTINGS: dict[str, Any] = {
    "kind": "classification", "target": "label", "series": None, "time": None, "date_format": None,
    "group": None, "part": None, "features": None, "categories": None, "separator": "comma",
    "decimal": "point",
    "thousands": None, "encoding": None, "missing": "refuse", "gaps": "refuse", "resample": None,
    "elapsed": False, "window": 4, "horizon": 1, "stride": 1, "season": None,
    "split": "stratified", "validation": 0.2, "test": 0.2, "split_seed": 0, "lag": None,
    "solved": None,
}  # fmt: skip


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
