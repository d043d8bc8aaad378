"""One meaning of hue on a page: the cell, or, where cells do not vary, the first factor.

Levels of any other factor differ by shape, line style and label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from reports.figures.theme import INK, colours

CELL = "cell"


def hue_key(factors: Iterable[str]) -> str:
    """The factor whose levels have hues; "" if nothing varies."""
    keys = [key for key in factors if key != "task"]
    return CELL if CELL in keys else next(iter(keys), "")


def hues(factors: Mapping[str, Sequence[str]], key: str, names: Iterable[str]) -> dict[str, str]:
    """A colour per level of a factor: its own if the factor has the hues, else the page's ink."""
    names = list(names)
    return colours(names) if key == hue_key(factors) else dict.fromkeys(names, INK)


def hue_of(factors: Mapping[str, Sequence[str]], labels: Mapping[str, object]) -> str:
    """The colour of something with these levels; the page's ink if hues do not tell it apart."""
    key = hue_key(factors)
    name = str(labels.get(key, ""))
    return colours(factors[key]).get(name, INK) if key else INK
