"""Updates at which scheduled work is due (standard library only)."""

from __future__ import annotations

from collections.abc import Iterable


def stages(shares: Iterable[float], updates: int) -> list[int]:
    """The update of each stage, by stage number: shares of `updates`, rounded, at least 1 apart.

    Stages beyond the last update are dropped.
    """
    last, found = -1, []
    for share in sorted(shares):
        last = max(round(share * updates), last + 1)
        found.append(min(last, updates))
    return list(dict.fromkeys(found))
