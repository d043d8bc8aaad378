"""Values, rows and columns of a table that are read as they are, and are probably something else.

Each function returns sentences for the plan and the page; nothing is changed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from study.tasks.shared.cells import Style
from study.tasks.shared.table import Table

ENOUGH = 10  # different values that make a range
MARKS = 3  # different values at one end that may be marks of missing values
FAR = 3.0  # ranges of the others between them and a value that is far off
LARGEST = frozenset({32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1})  # of whole types
SOME = 10_000  # cells looked at for how they are written
TOTALS = frozenset(
    {
        *("total", "totals", "subtotal", "subtotals", "sub-total", "grand total", "sum", "average"),
        *("avg", "mean", "median", "summe", "gesamt", "gesamtsumme", "zwischensumme", "mittelwert"),
        *("mittel", "durchschnitt", "somme", "moyenne", "total général", "sous-total", "totale"),
        *("media", "suma", "promedio", "total general", "soma", "média", "totaal", "gemiddelde"),
        *("итого", "всего", "среднее", "合計", "小計", "平均", "总计", "合计", "小计", "平均值"),
        *("합계", "평균"),
    }
)
_TOTAL = rf"(?i)^\s*({'|'.join(map(re.escape, sorted(TOTALS)))})\s*[.:]?\s*$"


def few(sentences: Sequence[str], most: int = 3) -> list[str]:
    """The first sentences about columns, and how many more there are."""
    more = len(sentences) - most
    return [*sentences[:most], *([f"and {more} more columns like these"] if more > 0 else [])]


# --- values ---------------------------------------------------------------------------------------


def far_values(columns: Mapping[str, np.ndarray], what: str = "column ") -> list[str]:
    """Values far from all others of their column [N], such as -999, which mark missing ones."""
    found: dict[float, list[tuple[str, int]]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for name, values in columns.items():
        marks, low, high = _marks(values)
        ranges[name] = (low, high)
        for value in marks:
            found.setdefault(value, []).append((name, int((values == value).sum())))
    told = []
    for value, places in found.items():
        first, count = places[0][0], sum(number for _, number in places)
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        low, high = ranges[first]
        told.append(
            f"{what}{first}{more} {'hold' if more else 'holds'} {value:.15g}"
            f" in {count:,} {'rows' if what else 'places'}, far from the other values"
            f" ({low:.6g} to {high:.6g})"
            + "; if it marks missing values, leave these cells empty and set task.missing"
            * bool(what)
        )
    return told


def _marks(values: np.ndarray) -> tuple[list[float], float, float]:
    """(values that are far from the others, the others' least, and largest)."""
    none = list[float](), 0.0, 0.0
    known = values[np.isfinite(values)]
    if len(known) <= ENOUGH or known.min() == known.max():
        return none
    lowest, highest = _ends(known), [-value for value in _ends(-known)]
    widest = max(*np.diff(lowest), *-np.diff(highest))  # no gap is wide in most columns
    if widest < FAR / 6 * (highest[-1] - lowest[-1]) and not lowest[0] < 0 <= lowest[1]:
        return none
    many = len(np.unique(known[:: max(len(known) // SOME, 1)])) > ENOUGH
    for low, high in sorted(itertools.product(range(MARKS + 1), repeat=2), key=sum, reverse=True):
        if low + high == 0 or low >= len(lowest) or high >= len(highest):
            continue
        least, most = lowest[low], highest[high]
        marks = [*lowest[:low], *highest[:high]]
        usual = all(_is_usual(mark) for mark in marks)
        if least > most or (least == most and not (usual and min(map(abs, marks)) > 100)):
            continue
        rare = sum(int((known == mark).sum()) for mark in marks) < len(known) / 2
        if not usual and not (many and rare):
            continue
        away = min(
            least - lowest[low - 1] if low else np.inf, highest[high - 1] - most if high else np.inf
        )
        if away > max(_needed(mark, least) for mark in marks) * (most - least):
            return marks, least, most
    return none


def _ends(values: np.ndarray) -> list[float]:
    """The least different values, one more than may be marks."""
    found = [float(values.min())]
    while len(found) <= MARKS:
        rest = values[values > found[-1]]
        if not len(rest):
            break
        found.append(float(rest.min()))
        values = rest
    return found


def _is_usual(mark: float) -> bool:
    """Whether a value often marks missing ones, whatever the others are."""
    return mark in LARGEST or re.fullmatch(r"-?9{2,}(\.0|\.9+)", repr(mark)) is not None


def _needed(mark: float, least: float) -> float:
    """Ranges of the others from which this value is far."""
    if _is_usual(mark):
        return FAR / 6
    if mark == 0:
        return FAR / 3
    # the only negative number of a column
    return 0.0 if least >= 0 and mark in (-1, -9) else FAR


def padding(x: np.ndarray) -> list[str]:
    """Whether sequences [N, T, D] end in different numbers of steps of one value."""
    last = x[:, -1:]
    if not x.size or x.shape[1] < 3 or not np.isfinite(last).all() or last.min() != last.max():
        return []
    same = (x == last).all(2)[:, ::-1]
    counts = np.where(same.all(1), x.shape[1], np.argmin(same, axis=1))
    if counts.min() == counts.max() or counts.max() < 2:
        return []
    return [
        f"all sequences end in {counts.min()} to {counts.max()} steps of {float(x[0, -1, 0]):.6g},"
        " which are read as steps; if that is padding, save their lengths"
    ]


def written(name: str, column: pa.ChunkedArray, style: Style, *, semicolons: bool) -> list[str]:
    """Whether the writing of numbers says that they are names, or thousands with another mark."""
    if not pa.types.is_string(column.type):
        return []
    point = re.escape(style.decimal)
    first = str(column[0]).strip()
    if first and not re.fullmatch(rf"[+-]?\d+|-?[1-9]\d{{0,2}}{point}\d{{3}}", first):
        return []
    some = np.unique(np.linspace(0, len(column) - 1, SOME).astype(int))
    texts = pc.utf8_trim_whitespace(column.take(pa.array(some)))
    texts = texts.filter(pc.not_equal(texts, ""))
    if not len(texts):
        return []

    def matching(pattern: str) -> pa.ChunkedArray:
        return texts.filter(pc.match_substring_regex(texts, pattern))

    zeros = matching(r"^0\d{2,}$")
    if len(zeros) and len(matching(r"^[+-]?\d+$")) == len(texts):
        return [
            f"column {name} holds numbers such as {zeros[0].as_py()}, whose leading zeros are lost;"
            " is it a name?"
        ]
    if style.thousands:
        return []
    grouped, whole = matching(rf"^-?[1-9]\d{{0,2}}{point}\d{{3}}$"), matching(r"^-?\d{1,3}$")
    all_of_them = len(grouped) + len(whole) == len(texts) and len(grouped) >= 3
    if all_of_them and (len(whole) > len(texts) / 20 or (semicolons and style.decimal == ".")):
        text, other = grouped[0].as_py(), "comma" if style.decimal == "." else "point"
        mark = "point" if style.decimal == "." else "comma"
        return [
            f"column {name} holds numbers such as {text}, with three decimals or none; if it is"
            f" {text.replace(style.decimal, '')}, set task.decimal={other} task.thousands={mark}"
        ]
    return []


# --- rows -----------------------------------------------------------------------------------------


def totals(
    table: Table, columns: Mapping[str, np.ndarray], known: Collection[str] = ()
) -> list[str]:
    """Rows that sum up others, by words in text columns but `known`, or by their numbers."""
    for name, column in table.columns.items():
        if name in known or not pa.types.is_string(column.type):
            continue
        found = pc.match_substring_regex(column, _TOTAL)
        if pc.any(found).as_py() and len(pc.unique(column.slice(0, SOME))) > ENOUGH:
            rows = np.flatnonzero(found.to_numpy())
            return [
                f"row {table.row(int(rows[0]))} has {table.cell(name, int(rows[0]))!r} in column"
                f" {name}{f', and {len(rows) - 1} more have such words' if len(rows) > 1 else ''};"
                " rows that sum up others are read as examples"
            ]
    values = [v for v in columns.values() if len(v) > ENOUGH and np.isfinite(v[-1])]
    sums = means = usable = 0
    for value in values:
        others = value[:-1][np.isfinite(value[:-1])]
        if (others != 0).sum() < 3 or others.min() == others.max():
            continue
        usable += 1
        deviation = others.std()
        sums += abs(value[-1] - others.sum()) <= 1e-6 * max(abs(others.sum()), deviation)
        means += abs(value[-1] - others.mean()) <= 0.01 * deviation
    for count, least, what in ((sums, 1, "sums"), (means, 2, "means")):
        if count >= max(least, usable / 2):
            return [
                f"the last row, {table.row(table.rows - 1)}, has the {what} of the rows above it in"
                f" {count} columns; it is read as an example"
            ]
    return []


def copies(values: np.ndarray, targets: np.ndarray, row: Callable[[int], int]) -> list[str]:
    """Rows [N, D] that repeat others with their target, where that is no accident."""
    table = np.column_stack([values, targets])
    again = np.flatnonzero(pd.DataFrame(table).duplicated())
    if not len(again):
        return []
    # pairs of rows that would be the same if each column were drawn by itself
    expected = len(table) ** 2 / 2
    for column in table.T:
        counts = np.unique(column, return_counts=True)[1]
        expected *= float(((counts / len(table)) ** 2).sum())
    if expected > 0.2:
        return []
    return [
        f"{len(again):,} rows are copies of others, the first row {row(int(again[0]))}; copies may"
        " be in training and in test"
    ]


# --- columns --------------------------------------------------------------------------------------


def steps_out_of_order(names: Sequence[str]) -> list[str]:
    """Whether columns that are steps are named with numbers, and in another order."""
    found = [re.fullmatch(r"(\D*?)(\d+(?:\.\d+)?)(\D*)", name) for name in names]
    named = [each for each in found if each]
    if len(names) < 3 or len(named) < len(names) or len({(m[1], m[3]) for m in named}) > 1:
        return []
    numbers = [float(each[2]) for each in named]
    wrong = next((n for n in range(1, len(numbers)) if numbers[n] < numbers[n - 1]), None)
    if wrong is None:
        return []
    return [
        f"the columns are read as steps in the order of the file, in which {names[wrong]} comes"
        f" after {names[wrong - 1]}; task.features names them in another order"
    ]


def other_scales(names: Sequence[str], values: np.ndarray) -> list[str]:
    """Whether columns [N, D] that are steps of one channel have nothing like one scale."""
    with np.errstate(all="ignore"):
        known = np.isfinite(values)
        count = np.maximum(known.sum(0), 1)
        mean = np.where(known, values, 0).sum(0) / count
        spread = np.sqrt(np.where(known, (values - mean) ** 2, 0).sum(0) / count)
    some = np.flatnonzero((spread > 1e-9 * np.abs(mean)) & np.isfinite(spread) & (spread > 0))
    if len(some) < 2:
        return []
    least, most = some[spread[some].argmin()], some[spread[some].argmax()]
    if spread[most] < 1000 * spread[least]:
        return []
    return [
        "the columns of a row are steps of one channel and scaled as one:"
        f" {names[most]} varies {spread[most] / spread[least]:,.0f} times as much as"
        f" {names[least]}, which is nearly constant beside it"
    ]


def numbering(name: str, values: np.ndarray, *, rising: bool) -> list[str]:
    """Whether a column [N] numbers the rows, in another order or, if `rising`, with gaps."""
    if len(values) < ENOUGH:
        return []
    for each in (values[:SOME], values):  # most columns end at the first
        if not np.isfinite(each).all() or (each % 1 != 0).any():
            return []
    least = values.min()
    if least >= 0 and values.max() - least == len(values) - 1:
        places = (values - least).astype(np.int64)
        if (np.bincount(places, minlength=len(values)) == 1).all():
            return [f"column {name} numbers the rows, in another order; is it an index?"]
    if rising and bool((np.diff(values) > 0).all()):
        return [f"column {name} rises from row to row; is it an index, or a time?"]
    return []
