"""Columns of names: ids, classes, levels; and which of them are probably slips."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from study.tasks.shared.cells import MISSING, TRUTH

NO_NAMES = MISSING | {"?", "-", "--", "–", "—", "."}  # names that probably are none
# Cyrillic and Greek letters that look like Latin ones, and quotes
ALIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТХУаеѕіјорсхуΑΒΕΖΗΙΚΜΝΟΡΤΥΧονρ’‘´`“”",
    "ABESIJKMHOPCTXYaesijopcxyABEZHIKMNOPTYXovp" + "'" * 4 + '"' * 2,
)


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
