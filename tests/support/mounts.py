"""Small and read-only file systems for tests of full and locked disks.

Root mounts them; who may not skips the test, with the reason.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no mount here: {done.stderr.strip()}")


def _unmount(path: Path) -> None:
    subprocess.run(["umount", "-l", str(path)], check=True)


@contextlib.contextmanager
def tmpfs(path: Path, size: str) -> Iterator[None]:
    """A file system of `size` at `path`, which is made."""
    path.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
    try:
        yield
    finally:
        _unmount(path)


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[None]:
    """`path` as it is, and nobody may write to it, root neither, from one moment to the next.

    The mount is locked aside, where nobody has a file open, and put over `path` locked: the kernel
    refuses to lock a mount through which somebody is writing just then (EBUSY, mount(8): status
    32), and a study that runs writes at any moment.
    """
    aside = path.with_name(f"{path.name}.locked")
    aside.mkdir()
    _mount("--bind", str(path), str(aside))
    try:
        _mount("-o", "remount,bind,ro", str(aside))
        _mount("--bind", str(aside), str(path))
        try:
            yield
        finally:
            _unmount(path)
    finally:
        _unmount(aside)
        aside.rmdir()
