"""Render again while a study runs: the page is replaced whole each time, and ends as a page that no
longer reloads.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from reports.data.study import MISSING, Study
from reports.documents.files import write_text
from reports.documents.page import render
from study.records import StudyError
from study.store import Store

LOOK = 1.0  # seconds between two looks at the store


def watch(
    folder: Path, config_dirs: Sequence[Path], seconds: float, say: Callable[[str], None]
) -> tuple[Path, Sequence[str]]:
    """Render, wait `seconds` or longer until points have come, and so on until the study has ended
    or Ctrl-C; the path and the broken sections.

    It has ended when its last launch wrote how long it took, or when no declared point is missing.
    """
    store = Store(folder)
    path, broken = folder / "report.html", ()  # type: tuple[Path, Sequence[str]]
    try:
        while True:
            seen, runs = _marks(store), running(store)
            try:
                path, broken = render(folder, config_dirs, seconds if runs else None)
                say(f"{_progress(store)}: {path} ({path.stat().st_size / 1e6:.1f} MB)")
            except StudyError as error:  # a point that is just being replaced
                if not runs:
                    raise
                say(f"not rendered this time ({error})")
            if not runs:
                return path, broken
            _wait(store, seen, seconds)
    except KeyboardInterrupt:
        say("stopped watching; the page stays as it is and no longer reloads")
        if path.exists():
            write_text(path, still(path.read_text(encoding="utf-8")))
        return path, broken


def running(store: Store) -> bool:
    """Whether points are missing and the last launch has not said how long it took (one that was
    killed never does).
    """
    launches = store.study()["launches"]
    return (
        bool(launches)
        and launches[-1].get("seconds") is None
        and bool((Study(store).grid["status"] == MISSING).any())
    )


def still(html: str) -> str:
    """The page without reloading itself."""
    return re.sub(
        r'(<body) data-reload="[^"]*"|<p class="watch.*?</p>\n?',
        lambda found: found[1] or "",
        html,
        flags=re.S,
    )


def _wait(store: Store, seen: object, seconds: float) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < seconds or (_marks(store) == seen and running(store)):
        time.sleep(min(LOOK, seconds))


def _marks(store: Store) -> tuple[object, ...]:
    """What changes when a point or a launch comes."""
    place = store.points_folder
    return (store.folder / "study.json").stat().st_mtime_ns, (
        place.stat().st_mtime_ns if place.is_dir() else 0
    )


def _progress(store: Store) -> str:
    grid = Study(store).grid["status"]
    return f"{int((grid != MISSING).sum())}/{len(grid)} points"
