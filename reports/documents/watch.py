"""Renders the page again while a study runs.

The page is replaced whole each time; the last one no longer reloads itself.
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

POLL = 1.0  # seconds between reads of the store


def watch(
    folder: Path, config_dirs: Sequence[Path], seconds: float, report: Callable[[str], None]
) -> tuple[Path, Sequence[str]]:
    """Render whenever points have been added, at most every `seconds`, until the study ends.

    Returns the path and the titles of broken sections. A study has ended when its last launch wrote
    how long it took, or when no declared point is missing. Ctrl-C stops the watch.
    """
    store = Store(folder)
    path, broken = folder / "report.html", ()  # type: tuple[Path, Sequence[str]]
    try:
        while True:
            before, runs = _fingerprint(store), running(store)
            try:
                path, page = render(folder, config_dirs, seconds if runs else None)
                broken = page.broken
                report(f"{_progress(store)}: {path} ({path.stat().st_size / 1e6:.1f} MB)")
            except StudyError as error:  # a point may be half replaced
                if not runs:
                    raise
                report(f"not rendered this time ({error})")
            if not runs:
                return path, broken
            _wait(store, before, seconds)
    except KeyboardInterrupt:
        report("stopped watching; the page stays as it is and no longer reloads")
        if path.exists():
            write_text(path, without_reload(path.read_text(encoding="utf-8")))
        return path, broken


def running(store: Store) -> bool:
    """Whether points are missing and the last launch has not ended (a killed one never does)."""
    launches = store.study()["launches"]
    return (
        bool(launches)
        and launches[-1].get("seconds") is None
        and bool((Study(store).grid["status"] == MISSING).any())
    )


def without_reload(html: str) -> str:
    """The page without its reload."""
    return re.sub(
        r'(<body) data-reload="[^"]*"|<p class="watch.*?</p>\n?',
        lambda found: found[1] or "",
        html,
        flags=re.S,
    )


def _wait(store: Store, before: object, seconds: float) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < seconds or (_fingerprint(store) == before and running(store)):
        time.sleep(min(POLL, seconds))


def _fingerprint(store: Store) -> tuple[object, ...]:
    """Values that change when a point or a launch is added."""
    place = store.points_folder
    return (store.folder / "study.json").stat().st_mtime_ns, (
        place.stat().st_mtime_ns if place.is_dir() else 0
    )


def _progress(store: Store) -> str:
    grid = Study(store).grid["status"]
    return f"{int((grid != MISSING).sum())}/{len(grid)} points"
