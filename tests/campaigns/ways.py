"""What may become of a mangled table, and the ways to mangle one by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.campaigns.clean_tables import Mangled


@dataclass(frozen=True)
class May:
    """What may become of a table: same, refused; with `about`, also other values and a warning
    that has these words."""

    ended: frozenset[str]
    about: str = ""


SAME, REFUSED = May(frozenset({"same"})), May(frozenset({"refused"}))
EITHER = May(frozenset({"same", "refused"}))


def told(about: str) -> May:
    return May(EITHER.ended, about)


Way = Callable[[Mangled, np.random.Generator], May | None]  # None: not for this table
WAYS: dict[str, Way] = {}


def way(one: Way) -> Way:
    WAYS[one.__name__] = one
    return one


def one(rng: np.random.Generator, places: Any) -> int:
    return int(rng.choice(np.asarray(places)))


def filled(of: Mangled, column: int) -> list[int]:
    return [n for n, row in enumerate(of.rows) if row[column]]
