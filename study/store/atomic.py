"""Files and folders that appear on disk completely or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def sync(*paths: Path) -> None:
    """Flush files and folders to the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file completely or not at all: `write` gets the path of a partial file."""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        write(partial)
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def swap_in(partial: Path, target: Path) -> None:
    """Rename a complete folder to `target`, which is replaced if it exists."""
    old = target.with_name(f".old-{os.getpid()}-{target.name}")
    if target.exists():
        target.rename(old)
    partial.rename(target)
    sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def writable(folder: Path) -> bool:
    """Whether this process can create files in a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
