"""Writes files whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from study.records import StudyError
from study.store.atomic import write_whole


def write_text(path: Path, text: str) -> None:
    """Write a text whole or not at all."""
    write_file(path, lambda partial: partial.write_text(text, encoding="utf-8", newline="\n"))


def write_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file whole or not at all; StudyError if it cannot be written."""
    try:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, write)
    except OSError as error:
        raise StudyError(f"{path}: cannot be written ({error.strerror or error})") from error
