"""What start-up, training and report really took here, beside what was expected of them.

Kept in the cache folder, so that estimates correct themselves. Of the last few times the middle
one counts: the best made every plan too short.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
from pathlib import Path

from study import __version__
from study.machine.cache import cache_folder, machine

LAST = 5  # times that are kept of each
LEAST, MOST = 0.1, 10.0  # ratios beyond these were suspended, or had nothing to do

# Seconds that a report takes on the reference machine (study/machine/speed.py): of a small study,
# and for each point.
PAGE, POINT = 4.0, 0.03


def note_taken(what: str, seconds: float, expected: float) -> None:
    """Remember that something took `seconds` where `expected` were, unless much else runs here."""
    if overloaded() or expected <= 0 or not LEAST <= (ratio := seconds / expected) <= MOST:
        return
    kept = _read()
    kept[what] = [*kept.get(what, []), round(ratio, 4)][-LAST:]
    with contextlib.suppress(OSError):  # then estimates stay what they were
        path = _path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({_key(): kept}), encoding="utf-8")


def overloaded() -> bool:
    """Whether more than two processes run for each core; a launch has one."""
    return os.getloadavg()[0] > 2 * (os.cpu_count() or 1)


def ratio_taken(what: str) -> float | None:
    """How many times as long as expected something takes here; None if it was never timed."""
    kept = _read().get(what, [])
    return statistics.median(kept) if kept else None


def _read() -> dict[str, list[float]]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        kept = json.loads(_path().read_text(encoding="utf-8"))[_key()]
        return {
            str(what): [each for each in map(float, ratios) if LEAST <= each <= MOST]
            for what, ratios in kept.items()
        }
    return {}


def _key() -> str:
    return f"{machine()} {__version__}"


def _path() -> Path:
    return cache_folder() / "taken.json"
