"""When something is done that is due at shares of the updates (standard library only)."""

from __future__ import annotations

from collections.abc import Iterable


def stages(shares: Iterable[float], updates: int) -> list[int]:
    """Updates made at each stage: shares of all `updates`, rounded, at least 1 apart where there is
    room; the list's place is the stage's number.
    """
    last, found = -1, []
    for share in sorted(shares):
        last = max(round(share * updates), last + 1)
        found.append(min(last, updates))
    return list(dict.fromkeys(found))
