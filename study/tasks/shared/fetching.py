"""Data that are fetched once: into a cache folder, with progress and a checksum, whole or not at
all.
"""

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
    """The file that `url` names, in the cache's folder `part`; fetched where it is not there yet.

    `checksum`: "md5:…" or "sha256:…" of the file; None: the one noted when it was fetched, so that
    later damage is seen. `instead` tells what a user without a network can do. Raises StudyError.
    """
    path = Path(CACHE).expanduser() / part / url.rpartition("/")[2]
    noted = path.with_name(path.name + ".sha256")
    if not path.is_file():
        fetch(url, path, checksum, instead)
    expected = checksum or (noted.read_text(encoding="utf-8").strip() if noted.is_file() else None)
    if expected is None:  # put there by hand
        noted.write_text(digest(path, "sha256"), encoding="utf-8")
    elif digest(path, expected.partition(":")[0]) != expected:
        raise StudyError(
            f"task: {path} is not what it was when it was fetched, or not what its source states"
            f" ({expected}); delete it to have it fetched again"
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
    """Download to `path`; what is half there, or wrong, never gets that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        with (
            urllib.request.urlopen(url, timeout=PATIENCE) as answer,
            partial.open("wb") as file,
            _progress(path.name, answer) as advance,
        ):
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                advance(len(chunk))
        stated = answer.headers.get("Content-Length")
        if stated is not None and int(stated) != partial.stat().st_size:
            raise StudyError(
                f"task: {url} ended after {partial.stat().st_size} of {stated} bytes; run the"
                " command again"
            )
        if (
            checksum is not None
            and (found := digest(partial, checksum.partition(":")[0])) != checksum
        ):
            raise StudyError(
                f"task: what {url} sent has the checksum {found}, and must have {checksum}; nothing"
                " was kept"
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
def _progress(name: str, answer: Any) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, one plain line elsewhere."""
    console = Console(stderr=True)
    stated = answer.headers.get("Content-Length")
    total = None if stated is None else int(stated)
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
