"""Counts of words over seeds, and the one word if enough seeds agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def count(values: Sequence[object], order: Sequence[str]) -> dict[str, int]:
    """How often each value occurs, most frequent first, ties in the given order, without nulls."""
    present = [str(value) for value in values if value is not None and value == value]
    return {
        name: present.count(name)
        for name in sorted(
            set(present), key=lambda name: (-present.count(name), list(order).index(name))
        )
    }


def agreed_word(tally: Mapping[str, int], *, share: float = 0.8, enough: int = 5) -> str | None:
    """The word that at least `share` of `enough` or more seeds agree on.

    "mixed" if they do not agree, None with fewer than `enough` seeds.
    """
    total = sum(tally.values())
    if total < enough:
        return None
    word, most = next(iter(tally.items()))
    return word if most >= share * total else "mixed"
