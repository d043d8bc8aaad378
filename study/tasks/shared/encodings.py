"""Bytes of a table's file: what packs them, and their encoding."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
import zipfile
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from study.records import StudyError

BYTE_ORDER_MARKS = {  # UTF-32's begin with UTF-16's
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def opened(path: str) -> BinaryIO:
    """The file without its compression."""
    with Path(path).open("rb") as file:
        begin = file.read(6)
    if begin.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.open(path))
    if begin.startswith(b"BZh"):
        return cast(BinaryIO, bz2.open(path))
    if begin == b"\xfd7zXZ\x00":
        return cast(BinaryIO, lzma.open(path))
    if begin.startswith(b"PK\x03\x04"):
        files = zipfile.ZipFile(path)
        inside = files.namelist()
        if any(name.startswith(("xl/", "content.xml")) for name in inside):
            raise StudyError(f"task.path: {path} is a workbook; save its sheet as CSV")
        if len(inside) != 1:
            raise StudyError(f"task.path: {path} holds {len(inside)} files; it must hold one")
        return cast(BinaryIO, files.open(inside[0]))
    return Path(path).open("rb")


def utf8_file(path: str) -> BinaryIO:
    """The file without its compression and without the byte order mark of UTF-8."""
    file = opened(path)
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)
    return file


def arrow_file(path: str) -> pa.NativeFile:
    """The same for Arrow, whose threads read ahead and must not meet Python at its end."""
    with opened(path) as file:
        skipped = 3 * (file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8)
        if isinstance(file, gzip.GzipFile | bz2.BZ2File):
            kind = "gzip" if isinstance(file, gzip.GzipFile) else "bz2"
            found = pa.CompressedInputStream(pa.OSFile(path), kind)
        elif isinstance(file, lzma.LZMAFile | zipfile.ZipExtFile):
            file.seek(0)
            found = arrow_bytes(file.read())
        else:
            found = pa.OSFile(path)
    found.read(skipped)
    return found


def arrow_bytes(data: bytes) -> pa.NativeFile:
    """Bytes as a file in Arrow's own memory."""
    buffer = pa.allocate_buffer(len(data))
    memoryview(buffer).cast("B")[:] = data
    return pa.BufferReader(buffer)


def utf8(path: str, data: bytes, encoding: str | None) -> tuple[bytes, list[str]]:
    """(the file as UTF-8 without a byte order mark, warnings)."""
    warnings = []
    marked = next((name for bom, name in BYTE_ORDER_MARKS.items() if data.startswith(bom)), None)
    try:
        given = None if encoding is None else codecs.lookup(encoding).name
        b"x".decode(given or "utf-8")  # not every codec is an encoding of text
    except UnicodeError:  # two bytes a character
        pass
    except LookupError as error:
        raise StudyError(
            "task.encoding: must be the name of an encoding, such as utf-8, utf-16 or latin-1, got"
            f" {encoding!r}"
        ) from error
    if given is not None and marked is not None and given.split("-")[:2] != marked.split("-")[:2]:
        raise StudyError(
            f"task.encoding: {path} begins with the byte order mark of {marked}, not of {encoding};"
            " leave task.encoding out"
        )
    chosen = marked or given or "utf-8"
    if chosen in ("utf-8", "utf-8-sig"):
        data = data.removeprefix(codecs.BOM_UTF8)
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError as error:
                line = data.count(b"\n", 0, error.start) + 1
                byte = error.start - data.rfind(b"\n", 0, error.start)
                raise StudyError(
                    f"task.path: {path} is not UTF-8 text (line {line}, byte {byte}); save it as"
                    " UTF-8, or name its encoding, often task.encoding=latin-1 or utf-16"
                ) from error
    else:
        if marked is None and chosen[:3] != "utf" and not data.isascii():
            try:
                data.decode()
                warnings.append(
                    f"{Path(path).name} is valid UTF-8; task.encoding={encoding} may garble it"
                )
            except UnicodeDecodeError:
                pass
        if codecs.lookup(chosen).name == "iso8859-1" and re.search(rb"[\x80-\x9f]", data):
            warnings.append(
                f"{Path(path).name} has bytes that {encoding} has no characters for;"
                " task.encoding=cp1252 may be meant"
            )
        try:
            data = data.decode(chosen).removeprefix("\ufeff").encode()
        except UnicodeError as error:
            raise StudyError(
                f"task.encoding: {path} is not {encoding or chosen} text ({error})"
            ) from error
    if (place := data.find(b"\0")) >= 0:
        line = data.count(b"\n", 0, place) + 1
        wide = f"utf-16-{'le' if place % 2 else 'be'}"
        raise StudyError(
            f"task.path: {path} has a zero byte in line {line}; if it is UTF-16 text, set"
            f" task.encoding={wide}"
        )
    if b"\r" in data and b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    return data, warnings
