"""Downloads data once, atomically, into a cache folder, with progress and a checksum."""

from __future__ import annotations

import contextlib
import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from study.records import StudyError

CACHE = "~/.cache/rnn-gradient-study"
PATIENCE = 20  # seconds without a byte
CHUNK = 1 << 16


def cached(url: str, part: str, checksum: str | None, instead: str) -> Path:
    """The path of a file in the cache's folder `part`, downloaded from `url` if it is missing.

    `checksum`: "md5:…" or "sha256:…" of the file; None: the one recorded on download, to detect
    later damage. `instead`: what a user without a network can do, for the message. Raises
    StudyError.
    """
    path = Path(CACHE).expanduser() / part / url.rpartition("/")[2]
    recorded = path.with_name(path.name + ".sha256")
    if not path.is_file():
        fetch(url, path, checksum, instead)
    expected = checksum or (
        recorded.read_text(encoding="utf-8").strip() if recorded.is_file() else None
    )
    if expected is None:  # the user put it there
        recorded.write_text(digest(path, "sha256"), encoding="utf-8")
    elif digest(path, expected.partition(":")[0]) != expected:
        raise StudyError(
            f"task: {path} has changed since it was fetched, or differs from its source's checksum"
            f" ({expected}); delete it to fetch it again"
        )
    return path


def digest(path: Path, kind: str) -> str:
    """ "sha256:…" or "md5:…" of a file."""
    if kind not in ("md5", "sha256"):
        raise StudyError(f"task.checksum: must begin with md5: or sha256:, got {kind!r}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False))
        return f"{kind}:{digest.hexdigest()}"


def fetch(url: str, path: Path, checksum: str | None, instead: str) -> None:
    """Download to `path`; an incomplete or wrong file never gets that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        with (
            urllib.request.urlopen(url, timeout=PATIENCE) as response,
            partial.open("wb") as file,
            _progress(path.name, response) as advance,
        ):
            while chunk := response.read(CHUNK):
                file.write(chunk)
                advance(len(chunk))
        length = response.headers.get("Content-Length")
        if length is not None and int(length) != partial.stat().st_size:
            raise StudyError(
                f"task: {url} ended after {partial.stat().st_size} of {length} bytes; run the"
                " command again"
            )
        if (
            checksum is not None
            and (found := digest(partial, checksum.partition(":")[0])) != checksum
        ):
            raise StudyError(
                f"task: the file at {url} has checksum {found}, expected {checksum}; it was not"
                " kept"
            )
        path.with_name(path.name + ".sha256").write_text(
            digest(partial, "sha256"), encoding="utf-8"
        )
        partial.replace(path)
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise StudyError(f"task: {url} could not be fetched ({error}). {instead}") from error
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(name: str, response: Any) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, one plain line elsewhere."""
    console = Console(stderr=True)
    length = response.headers.get("Content-Length")
    total = None if length is None else int(length)
    if not console.is_terminal:
        console.print(f"fetching {name}" + ("" if total is None else f", {total / 1e6:.1f} MB"))
        yield lambda count: None
        return
    columns = (
        TextColumn("fetching {task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=total)
        yield lambda count: bar.advance(task, count)
