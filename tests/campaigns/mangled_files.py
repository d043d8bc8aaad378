"""Ways in which files of tables are mangled, or only written otherwise."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np

from tests.campaigns.clean_tables import Mangled
from tests.campaigns.ways import EITHER, REFUSED, SAME, May, told, way

SEPARATORS = {";": "semicolon", "\t": "tab", "|": "pipe"}


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
def ragged(of: Mangled, rng: np.random.Generator) -> May | None:
    row = of.rows[int(rng.integers(len(of.rows)))]
    row.append("") if rng.random() < 0.5 else row.pop()
    return REFUSED


@way
def cut_off(of: Mangled, rng: np.random.Generator) -> May | None:
    of.rows[-1] = of.rows[-1][: int(rng.integers(1, len(of.header)))]
    return REFUSED if any(of.rows[-1]) else None  # a blank line is none


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
def another_header(of: Mangled, rng: np.random.Generator) -> May | None:
    of.rows.insert(int(rng.integers(1, len(of.rows))), list(of.header))
    return REFUSED


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


def _inserted(data: bytes, what: bytes, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(2, len(data) // 4)) * 4
    return data[:place] + what + data[place:]


def _zip(data: bytes) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as files:
        files.writestr("table.csv", data)
    return into.getvalue()
