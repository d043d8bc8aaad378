"""Columns of text that are read as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from study.tasks.shared.cells import CURRENCY, MISSING, TRUTH, Cell, Style, read_cell, usual
from study.tasks.shared.names import coded

_PLAIN = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
# Looks like a number to a reader: figures in groups, a currency or comparison before them, at most
# a short unit behind them.
_ALIKE = re.compile(
    rf"[(+-]*(?:[<>≤≥~≈]\s*|[A-Z]{{3}}\s|[A-Z]{{0,3}}[{CURRENCY}]\s*)?[+-]?"
    r"(?:\d{1,3}(?:[.,'_ ]\d{3})+(?:[.,]\d+)?|\d{1,2}(?:,\d{2})+,\d{3}|\d+(?:[.,]\d+)?"
    r"|0x[\da-fA-F]+)"
    r"(?:[eE][+-]?\d+)?\s*(?P<unit>[^\d\s]{0,4})"
)
_MULTIPLES = frozenset({"", "k", "K", "m", "M", "b", "B", "bn", "Mio", "Mrd"})
FEW = 1000  # texts of a batch that are no plain numbers and may be numbers all the same
SAMPLE = 10_000  # cells of a long column that say whether it is text


@dataclass(frozen=True)
class Numbers:
    """A column read as numbers.

    values: [N], NaN where a cell is missing or no number. wrong: positions of cells that hold
    something else. share: of the cells with a value, those that are numbers. unit: what stands
    beside all of them. alike: whether most other cells look like numbers.
    """

    values: np.ndarray
    wrong: np.ndarray
    share: float
    unit: str = ""
    alike: bool = False

    @property
    def empty(self) -> bool:
        return not len(self.wrong) and bool(np.isnan(self.values).all())

    @property
    def meant(self) -> bool:
        """Whether this is a column of numbers, so that another cell in it is a mistake."""
        return not len(self.wrong) or self.share > 0.5 or self.alike


def numbers(column: pa.ChunkedArray, style: Style) -> Numbers:
    """Read a column as numbers, true and false as 1 and 0."""
    if not pa.types.is_string(column.type):
        return _typed(column)
    if style == Style():
        fast = _cast(column)
        if fast is not None:
            return Numbers(fast, np.array([], dtype=int), 1.0)
        blank = pc.equal(column, "")
        fast = _cast(pc.if_else(blank, pa.scalar(None, pa.string()), column))
        if fast is not None:
            return Numbers(fast, np.array([], dtype=int), 1.0)
    plain_text, plain = _plain(column, style)
    values = pc.cast(
        pc.if_else(plain, plain_text, pa.scalar(None, pa.string())), pa.float64()
    ).to_numpy()
    values = np.array(values)  # Arrow's are read-only
    others = np.flatnonzero(~plain.to_numpy())
    if len(others) == len(values) > SAMPLE and _is_text(column, style):
        return Numbers(values, others, 0.0)
    return _with_others(values, others, column, style)


def plain_numbers(column: pa.ChunkedArray, style: Style) -> np.ndarray | None:
    """[N], of a column that holds numbers without a unit and missing values only, else None.

    `numbers` reads the same values.
    """
    if style == Style():
        fast = _cast(column)
        if fast is None:
            fast = _cast(pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column))
        if fast is not None and _missing_where_nan(column, fast):
            return fast
    plain_text, plain = _plain(column, style)
    others = pc.invert(plain)
    codes, texts = coded(column.filter(others))
    if len(texts) > FEW:
        return None
    cells = [read_cell(text, style) for text in texts]
    read = [cell.value for cell in cells if cell is not None and not cell.unit]
    if len(read) < len(cells):
        return None
    found = pc.if_else(plain, plain_text, pa.scalar(None, pa.string()))
    values = np.array(pc.cast(found, pa.float64()).to_numpy())
    values[others.to_numpy()] = np.array(read)[codes]
    return values


def _missing_where_nan(column: pa.ChunkedArray, values: np.ndarray) -> bool:
    """Whether cells that Arrow reads as NaN are missing values, which nan(1) is not."""
    none = np.isnan(values)
    if not none.any():
        return True
    texts = pc.unique(column.filter(pa.array(none))).to_pylist()
    return all(text.casefold() in MISSING for text in texts)


def _cast(column: pa.ChunkedArray) -> np.ndarray | None:
    try:
        return pc.cast(column, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None


def _plain(column: pa.ChunkedArray, style: Style) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """(text with a decimal point and no thousands, whether it then is a plain number)."""
    text = column
    fits = None
    if style.thousands:
        group, point = re.escape(style.thousands), re.escape(style.decimal)
        fits = pc.match_substring_regex(
            text, rf"^-?(\d+|[1-9]\d{{0,2}}({group}\d{{3}})+)({point}\d*)?$"
        )
        text = pc.replace_substring(text, style.thousands, "")
    if style.decimal != ".":
        fits = pc.invert(pc.match_substring(column, ".")) if fits is None else fits
        text = pc.replace_substring(text, style.decimal, ".")
    plain = pc.match_substring_regex(text, _PLAIN)
    return text, plain if fits is None else pc.and_(plain, fits)


def _with_others(
    values: np.ndarray, others: np.ndarray, column: pa.ChunkedArray, style: Style
) -> Numbers:
    """Read the cells `others` that are not plain numbers, each distinct text once."""
    codes, texts = coded(column.take(pa.array(others)))
    cells = [read_cell(text, style) for text in texts]
    counts = np.bincount(codes, minlength=len(texts))
    plain = len(values) - len(others)
    truth = _truth(texts, cells)
    if plain and truth is not None:  # beside 1 and 0, a letter may be a slip
        words = all(
            len(text.strip()) > 1 for text, cell in zip(texts, cells, strict=True) if not cell
        )
        figures = np.delete(values, others)
        truth = truth if words and bool(np.isin(figures, (0, 1)).all()) else None
    if truth is not None:
        values[others] = truth[codes]
        return Numbers(values, np.array([], dtype=int), 1.0, "true/false")
    units: dict[str, int] = {"": plain}
    for cell, count in zip(cells, counts, strict=True):
        if cell is not None and not cell.missing:
            units[cell.unit] = units.get(cell.unit, 0) + int(count)
    unit = max(units, key=lambda name: units[name])
    good = np.array([cell is not None and (cell.missing or cell.unit == unit) for cell in cells])
    read = np.array([np.nan if cell is None else cell.value for cell in cells])
    wrong = others[~good[codes]] if len(cells) else others
    values[others] = np.where(good, read, np.nan)[codes] if len(cells) else np.nan
    if unit and plain:  # "12 %" in most cells, and figures alone in others
        figures = np.setdiff1d(np.arange(len(values)), others)
        wrong = np.sort(np.concatenate([wrong, figures]))
    missing = sum(
        int(count)
        for cell, count in zip(cells, counts, strict=True)
        if cell is not None and cell.missing
    )
    held_count = len(values) - missing
    share = (held_count - len(wrong)) / held_count if held_count else 1.0
    bad = [text for text, fine in zip(texts, good, strict=True) if not fine]
    return Numbers(values, wrong, share, unit, _alike(bad, share, style))


def _is_text(column: pa.ChunkedArray, style: Style) -> bool:
    """Whether a sample of a long column holds nothing that could be read as a number."""
    some = np.linspace(0, len(column) - 1, SAMPLE).astype(int)
    texts = coded(column.take(pa.array(some)))[1]
    cells = [read_cell(text, style) for text in texts]
    if any(cell is not None for cell in cells) or _truth(texts, cells) is not None:
        return False
    return not _alike(texts, 0.0, style)


def _truth(texts: list[str], cells: list[Cell | None]) -> np.ndarray | None:
    """1 and 0 for a column of nothing but true and false, in any of their spellings."""
    names = [text.strip().casefold() for text in texts]
    if not all(
        name in TRUTH if cell is None else cell.missing
        for name, cell in zip(names, cells, strict=True)
    ) or all(cell is not None for cell in cells):
        return None
    return np.array([TRUTH.get(name, np.nan) for name in names])


def _alike(texts: Iterable[str], share: float, style: Style) -> bool:
    """Whether cells that are no numbers look like numbers, or stand where numbers are missing."""
    texts = [usual(text) for text in texts]
    if share > 0 and (
        len(texts) == 1 or (len(texts) <= 3 and not any(c.isalnum() for c in "".join(texts)))
    ):
        return True  # "?" or "-" or one word in all cells without a number
    found = [_ALIKE.fullmatch(text) for text in texts]
    like = [each for each in found if each]
    units = {each["unit"] for each in like}
    return len(like) > len(texts) / 2 and (len(units) == 1 or units <= _MULTIPLES)


def _typed(column: pa.ChunkedArray) -> Numbers:
    """A column that its file declares to be numbers or true and false; others hold none."""
    kind = column.type
    none = np.array([], dtype=int)
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.int8())
    if pa.types.is_null(kind):
        return Numbers(np.full(len(column), np.nan), none, 1.0)
    if is_number(kind) or pa.types.is_boolean(kind):
        unit = "true/false" if pa.types.is_boolean(kind) else ""
        values = pc.cast(column, pa.float64(), safe=False).to_numpy()
        return Numbers(values, none, 1.0, unit)
    held = np.flatnonzero(pc.is_valid(column).to_numpy())
    return Numbers(np.full(len(column), np.nan), held, 0.0 if len(held) else 1.0)


def is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
