"""Rules that turn the text of a table's cells into numbers, names and times."""

from __future__ import annotations

import html
import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# Cells of a number column that hold no number, in lower case. In a column of names they are names.
MISSING = frozenset(
    {"", "na", "n/a", "#n/a", "#n/a n/a", "#na", "nan", "-nan", "<na>", "null", "none", "nat"}
    | {"\\n", "(null)", "[null]", "nil"}  # of databases
    | {"#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!"}  # of spreadsheets
)
NO_NAMES = MISSING | {"?", "-", "--", "–", "—", "."}  # names that probably are none
TRUTH = {
    word: value
    for value, words in ((1.0, "true yes y t on"), (0.0, "false no n f off"))
    for word in words.split()
}
MARKS = {"point": ".", "comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}
MARKS |= {"space": " ", "apostrophe": "'"}
CURRENCY = "$€£¥₹"
# Cyrillic and Greek letters that look like Latin ones, and quotes
ALIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТХУаеѕіјорсхуΑΒΕΖΗΙΚΜΝΟΡΤΥΧονρ’‘´`“”",
    "ABESIJKMHOPCTXYaesijopcxyABEZHIKMNOPTYXovp" + "'" * 4 + '"' * 2,
)
_PLAIN = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_SPACES = "\u00a0\u2009\u202f"  # written between thousands
_AFFIXED = re.compile(
    rf"(?P<sign>[+-]?)\s*(?P<before>[{CURRENCY}]?)\s*(?P<inner>[+-]?)"
    rf"(?P<body>[\d.,' ]*\d[.,]?(?:[eE][+-]?\d+)?|inf(?:inity)?)\s*(?P<after>[%‰{CURRENCY}]?)",
    re.IGNORECASE,
)
# Looks like a number to a reader: figures in groups, a currency or comparison before them, at most
# a short unit behind them.
_ALIKE = re.compile(
    rf"[(+-]*(?:[<>≤≥~≈]\s*|[A-Z]{{3}}\s|[A-Z]{{0,3}}[{CURRENCY}]\s*)?[+-]?"
    r"(?:\d{1,3}(?:[.,'_ ]\d{3})+(?:[.,]\d+)?|\d{1,2}(?:,\d{2})+,\d{3}|\d+(?:[.,]\d+)?"
    r"|0x[\da-fA-F]+)"
    r"(?:[eE][+-]?\d+)?\s*(?P<unit>[^\d\s]{0,4})"
)
_MULTIPLES = frozenset({"", "k", "K", "m", "M", "b", "B", "bn", "Mio", "Mrd"})
LIKELY = 0.9  # share of figures that are dates, from which the others are mistakes
_FIGURES = r"^(\d{1,2})[-/.](\d{1,2})[-/.]\d{2,4}\b"
_DATE = (  # and with names of months
    r"(?i)^(?:\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?"
    r"|(?=.*\d)[^a-z]*(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[^a-z]*)$"
)
ZONE = re.compile(r"[T ]\d{1,2}[\d:.,]*\s*(?:Z|[+-]\d{2}(?::?\d{2})?)$", re.IGNORECASE)
SAMPLE = 10_000  # cells of a long column that say whether it is text
# 202401, 20240131, and with hours, minutes, seconds
DATE_FIGURES = {6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}


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
    text = _usual(text)
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


def _usual(text: str) -> str:
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
    texts = [_usual(text) for text in texts]
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


# --- names ----------------------------------------------------------------------------------------


def names_of(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of names as text, whatever it holds; blank where there is none."""
    text = column
    if not pa.types.is_string(column.type):
        if pa.types.is_floating(column.type):  # a column of whole numbers with gaps
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        text = pc.fill_null(pc.cast(column, pa.string()), "")
    return pc.utf8_trim_whitespace(text)


def coded(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """(code of each cell [N], distinct texts), in the order of their first appearance."""
    found = column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column
    if not pa.types.is_dictionary(found.type):
        found = found.dictionary_encode().unify_dictionaries()
    if not found.num_chunks:
        return np.array([], dtype=int), []
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in found.chunks]).astype(np.int64)
    return codes, found.chunk(0).dictionary.to_pylist()


def as_written(names: list[str]) -> np.ndarray:
    """Names as numbers if each is the plain writing of its number, else as text.

    Classes are sorted: 2 is before 10, but "2" behind "10".
    """
    for kinds in ((int,), (int, float)):
        if all(any(_writes(kind, name) for kind in kinds) for name in names):
            return np.array([kinds[-1](name) for name in names])
    return np.array(names)


def _writes(kind: type[int] | type[float], name: str) -> bool:
    try:
        value = kind(name)
    except ValueError:
        return False
    return str(value) == name and abs(value) < 2**53  # neither infinite nor NaN


def twins(names: Sequence[str]) -> tuple[str, str] | None:
    """Two names that a reader takes for one: they differ in capitals, blanks, look-alike letters,
    or in how they write one number or one truth only, such as 1 and 1.0, or yes and True."""
    seen: dict[object, str] = {}
    truths = all(name.casefold() in TRUTH or name in ("0", "1") for name in names)
    for name in names:
        plain = _plainly(name)
        key: object = plain
        for kind in (int, float):
            try:
                value = kind(plain)
            except ValueError:
                continue
            key = value if value == value else key
            break
        key = TRUTH.get(name.casefold(), key) if truths else key
        if key in seen:
            return seen[key], name
        seen[key] = name
    return None


def _plainly(name: str) -> str:
    """A name without what a reader does not see or heed; what tells 1-12 from 11-2 stays."""
    if name.isascii() and name.isalnum():
        return name.casefold()
    text = unicodedata.normalize("NFKC", html.unescape(name)).translate(ALIKE).casefold()
    unseen = "\ufe0e\ufe0f"  # how an emoji is drawn
    text = "".join(c for c in text if unicodedata.category(c) != "Cf" and c not in unseen).strip()
    text = re.sub(r"(?<=\w)[\s\-‐‑–—]+(?=\w)", "-", text.replace("_", "-"))
    text = re.sub(r"(?<=[^\W\d])-(?=\w)|(?<=\w)-(?=[^\W\d])", "", text)
    if len(text) > 3:  # letters without their accents
        text = re.sub(r"(?<=[a-z])[\u0300-\u036f]+", "", unicodedata.normalize("NFD", text))
        text = unicodedata.normalize("NFC", text).removesuffix(".")
    return text


def _garbled(name: str) -> bool:
    """Whether this is UTF-8 that was read as another encoding and saved."""
    if name.isascii():
        return False
    for encoding in ("cp1252", "latin-1"):
        try:
            return len(name.encode(encoding).decode()) < len(name)
        except UnicodeError:
            continue
    return False


def odd_names(column: str, codes: np.ndarray, texts: Sequence[str]) -> list[str]:
    """Sentences about names of a column that are probably slips: `codes` [N] of `texts`."""
    told = [two_names(column, texts) or ""]
    none = [n for n, text in enumerate(texts) if text and text.casefold() in NO_NAMES]
    if none:
        told.append(
            f"column {column} holds {texts[none[0]]!r} in {int(np.isin(codes, none).sum()):,} rows,"
            " which is read as a name; if it marks missing names, remove these rows"
        )
    garbled = next((text for text in texts if _garbled(text)), None)
    if garbled is not None:
        told.append(
            f"column {column} holds {garbled!r}, as UTF-8 looks that was read as another encoding"
        )
    rounded = next((text for text in texts if re.fullmatch(r"-?\d[.,]\d*[eE]\+?\d+", text)), None)
    if rounded is not None:
        told.append(
            f"column {column} holds {rounded!r}, as spreadsheets round long numbers; different"
            " names may have become one"
        )
    return [each for each in told if each]


def two_names(column: str, texts: Sequence[str]) -> str | None:
    """The sentence on `twins` among the names of a column."""
    same = twins(texts)
    if same is None:
        return None
    first, second = map(_shown, same)
    return f"column {column} holds {first} and {second}, which are read as two names"


def _shown(name: str) -> str:
    """A name in a message, so that letters that look alike or are not seen can be told apart."""
    return ascii(name) if not name.isascii() else repr(name)


# --- times ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Times:
    """stamps: [N], numbers, or microseconds if `dates`. wrong: positions of cells with neither."""

    stamps: np.ndarray
    dates: bool
    wrong: np.ndarray

    def show(self, amount: float) -> str:
        """A distance in time, to be read."""
        if not self.dates:
            return f"{amount:.15g}"
        return (
            str(pd.Timedelta(int(amount), "us")).removesuffix(" 00:00:00").removeprefix("0 days ")
        )


def times(column: pa.ChunkedArray) -> Times:
    """Read a column as numbers or as ISO 8601 dates; figures such as 20240131 are dates."""
    none = np.array([], dtype=int)
    if pa.types.is_temporal(column.type):
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            stamps = pc.cast(column, pa.timestamp("us"), safe=False)
            wrong = np.flatnonzero(pc.is_null(column).to_numpy())
            return Times(pc.cast(stamps, pa.int64()).fill_null(0).to_numpy(), True, wrong)
        return Times(np.zeros(len(column)), False, np.arange(len(column)))
    text = names_of(column)
    for kind in (pa.int64(), pa.float64()):
        try:
            found = np.array(pc.cast(text, kind).to_numpy())
        except pa.ArrowInvalid:
            continue
        dates = _figures(found) if found.dtype == np.int64 else None
        if dates is not None:
            return Times(dates[0], True, dates[1])
        return Times(found, False, np.flatnonzero(~np.isfinite(found)))
    read = numbers(text, Style())
    bad = np.isnan(read.values)
    if not bad.all():  # mostly numbers: a date among them is a mistake
        return Times(np.nan_to_num(read.values), False, np.flatnonzero(bad))
    try:
        stamps = pc.cast(text, pa.timestamp("us"))
        return Times(np.array(pc.cast(stamps, pa.int64()).to_numpy()), True, none)
    except pa.ArrowInvalid:
        pass  # with time zones, blank or wrong cells
    codes, texts = coded(text)
    zoned = np.array([ZONE.search(each) is not None for each in texts])
    parsed = pd.Series(
        pd.to_datetime(pd.Series(texts, dtype=object), format="ISO8601", utc=True, errors="coerce")
    )
    bad = np.array(parsed.isna())
    # a time without a zone beside times with one may be hours away
    if zoned[~bad].any():
        bad |= ~zoned
    wrong = np.flatnonzero(bad[codes])
    stamps = parsed.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    return Times(stamps[codes], True, wrong)


def _figures(found: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(stamps, wrong positions) of whole numbers that are dates, see DATE_FIGURES; None if many
    are something else."""
    if not len(found) or not (found > 0).all():
        return None
    size = len(str(int(found[0])))
    if size not in DATE_FIGURES or found.min() < 10 ** (size - 1) or found.max() >= 10**size:
        return None
    distinct, codes = np.unique(found, return_inverse=True)
    if len(distinct) < 2:
        return None
    years, months = distinct // 10 ** (size - 4), distinct // 10 ** (size - 6) % 100
    likely = (years >= 1800) & (years <= 2200) & (months >= 1) & (months <= 12)
    if likely.mean() < LIKELY:
        return None
    parsed = pd.to_datetime(
        pd.Series(distinct.astype(str)), format=DATE_FIGURES[size], errors="coerce"
    )
    wrong = np.array(parsed.isna()) | ~likely
    if 1 - wrong.mean() < LIKELY:
        return None
    stamps = parsed.to_numpy().astype("datetime64[us]").astype(np.int64)
    return stamps[codes], np.flatnonzero(wrong[codes])


def looks_like_dates(column: pa.ChunkedArray) -> bool:
    """Whether a text column holds dates, judged by its first cells."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return True
    if not pa.types.is_string(column.type):
        return False
    first = [text for text in column.slice(0, 20).to_pylist() if text and text.strip()]
    iso = all(re.match(r"\s*\d{4}-\d{2}(-\d{2})?([T ]\d{2}:\d{2}.*)?\s*$", text) for text in first)
    return bool(first) and iso


def out_of_order(column: pa.ChunkedArray, series: np.ndarray) -> tuple[bool, int | None]:
    """(whether a text column holds dates, with the month in any place, that do not rise within
    series, codes [N]; the first cell that is none among dates)."""
    if not pa.types.is_string(column.type) or len(column) < 3:
        return False, None
    first = names_of(column.slice(0, 20)).to_pylist()
    if sum(re.search(_DATE, text) is not None for text in first) < len(first) / 2:
        return False, None
    codes, texts = coded(names_of(column))
    stamps = [_stamps(texts, dayfirst=dayfirst) for dayfirst in (True, False)]
    other = np.minimum(*(np.isnan(each) for each in stamps))[codes]
    if other.mean() > 0.1:
        return False, None
    order = np.argsort(series, kind="stable")
    order = order[~other[order]]
    inside = np.diff(series[order]) == 0
    rising = [
        bool((np.diff(each[codes[order]])[inside] >= 0).all())
        for each in stamps
        if not np.isnan(each[codes[order]]).any()
    ]
    return bool(rising) and not any(rising), int(np.argmax(other)) if other.any() else None


def _stamps(texts: list[str], *, dayfirst: bool) -> np.ndarray:
    """[N], of text that may be a date, NaN where it is none; 3/4/2024 has two readings."""
    dates = pd.Series(texts, dtype=object)
    likely = dates.str.contains(_DATE)
    read = pd.to_datetime(
        dates.where(likely), format="mixed", dayfirst=dayfirst, utc=True, errors="coerce"
    )
    stamps = read.dt.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.float64)
    figures = dates.str.extract(_FIGURES).apply(pd.to_numeric).to_numpy(np.float64)
    # pandas reads 31/12/2024 whatever dayfirst says
    month = figures[:, 1 if dayfirst else 0]
    return np.where(read.isna() | (month > 12), np.nan, stamps)
