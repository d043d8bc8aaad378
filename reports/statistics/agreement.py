"""Words of an arm: counts over seeds, and the one word where enough of them agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def count(values: Sequence[object], order: Sequence[str]) -> dict[str, int]:
    """How often each occurs: most frequent first, equals in the given order; nulls are left out."""
    present = [str(value) for value in values if value is not None and value == value]
    return {
        name: present.count(name)
        for name in sorted(
            set(present), key=lambda name: (-present.count(name), list(order).index(name))
        )
    }


def agreed_word(of: Mapping[str, int], *, share: float = 0.8, enough: int = 5) -> str | None:
    """The verdict of an arm: a word where at least `share` of `enough` or more seeds agree, "mixed"
    where they do not, None below `enough`.
    """
    total = sum(of.values())
    if total < enough:
        return None
    word, most = next(iter(of.items()))
    return word if most >= share * total else "mixed"
