"""Updates at which scheduled work is due (standard library only)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def stages(shares: Iterable[float], updates: int) -> list[int]:
    """The update of each stage, by stage number: shares of `updates`, rounded, at least 1 apart.

    Stages beyond the last update are dropped.
    """
    last, found = -1, []
    for share in sorted(shares):
        last = max(round(share * updates), last + 1)
        found.append(min(last, updates))
    return list(dict.fromkeys(found))


def probed(composed: Mapping[str, Any]) -> set[int]:
    """Updates at which a point's probes measure, according to its configuration."""
    nodes = [node for node in composed.get("probe", {}).values() if node.get("stages")]
    return {update for node in nodes for update in stages(node["stages"], composed["updates"])}


def spread(count: int, most: int | None) -> set[int]:
    """At most `most` of the numbers below `count`, evenly spread, first and last included; None:
    all of them.
    """
    if most is None or count <= most:
        return set(range(count))
    return {round(place * (count - 1) / (most - 1)) for place in range(most)}
