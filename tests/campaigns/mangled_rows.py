"""Ways in which rows, columns and names are mangled, or only arranged otherwise."""

from __future__ import annotations

import numpy as np

from tests.campaigns.clean_tables import Mangled
from tests.campaigns.ways import REFUSED, SAME, May, filled, one, told, way


@way
def more_columns(of: Mangled, rng: np.random.Generator) -> May | None:
    """Columns that are no features: an index, text, dates, blanks."""
    count = len(of.rows)
    names, cells, kind = (
        ("", [str(n) for n in range(count)], "index"),
        ("n", [str(n + 1) for n in range(count)], "index"),
        ("note", [f'it\'s {n}, "fine"' for n in range(count)], "index"),
        ("", [""] * count, "blank"),
        ("day", ["2024-01-01"] * count, "index"),
    )[rng.integers(5)]
    if of.settings["categories"] is not None or names in of.header:
        return None
    place = 0 if kind == "index" and not names else len(of.header)
    of.header.insert(place, names)
    of.kinds.insert(place, "other")
    for row, cell in zip(of.rows, cells, strict=True):
        row.insert(place, cell)
    return told("column day") if names == "day" and of.form != "wide" else SAME


@way
def roles_elsewhere(of: Mangled, rng: np.random.Generator) -> May | None:
    order = [n for n, kind in enumerate(of.kinds) if kind in ("number", "text", "other")]
    for place in of.columns("id", "class", "date", "whole"):
        order.insert(int(rng.integers(len(order) + 1)), place)
    if of.form != "long" or any(not of.header[n] for n in order):
        return None
    of.header = [of.header[n] for n in order]
    of.kinds = [of.kinds[n] for n in order]
    of.rows = [[row[n] for n in order] for row in of.rows]
    return SAME


@way
def rows_in_another_order(of: Mangled, rng: np.random.Generator) -> May | None:
    if of.form != "forecast":
        return None
    of.rows = [of.rows[n] for n in rng.permutation(len(of.rows))]
    return (
        told("column n ") if "n" in of.header else SAME
    )  # a column that counted the rows does no more


@way
def a_row_less(of: Mangled, rng: np.random.Generator) -> May | None:
    if of.form != "forecast" or of.done:
        return None
    del of.rows[int(rng.integers(5, len(of.rows) - 5))]
    return REFUSED


@way
def a_row_twice(of: Mangled, rng: np.random.Generator) -> May | None:
    place = int(rng.integers(len(of.rows)))
    if of.form == "wide" and sum(map(len, of.rows[place])) < 25:
        return None  # of a few figures, copies may be accidents
    of.rows.insert(place, list(of.rows[place]))
    return told("copies of others") if of.form == "wide" else REFUSED


@way
def units_below(of: Mangled, rng: np.random.Generator) -> May | None:
    of.rows.insert(0, [("kg", "m/s", "°C", "[-]")[rng.integers(4)] for _ in of.header])
    return REFUSED


@way
def two_of_a_name(of: Mangled, rng: np.random.Generator) -> May | None:
    of.header[0] = of.header[-1]
    return REFUSED if of.header[0] else told("no name")


@way
def total(of: Mangled, rng: np.random.Generator) -> May | None:
    numbers = of.columns("number")
    if of.settings["decimal"] != "point" or of.settings["thousands"] or of.done:
        return None
    row = ["Total"] * len(of.header)
    for place in numbers:
        row[place] = f"{sum(float(each[place] or 0) for each in of.rows):.4f}"
    for place in of.columns("class"):
        row[place] = of.rows[0][place]
    of.rows.append(row)
    return told("sum|far from")


@way
def two_writings_of_a_name(of: Mangled, rng: np.random.Generator) -> May | None:
    places = of.columns("id", "class")
    if not places:
        return None
    place, change = one(rng, places), (
        str.upper,
        lambda name: name[0] + "\u200b" + name[1:],
        lambda name: name.translate(str.maketrans("spo", "ѕро")),  # Cyrillic
        lambda name: name[0] + " " + name[1:],
    )[rng.integers(4)]  # fmt: skip
    row = of.rows[one(rng, filled(of, place))]
    row[place] = change(row[place].strip())
    return told("read as two names")


@way
def blanks_around_names(of: Mangled, rng: np.random.Generator) -> May | None:
    for place in of.columns("id", "class"):
        for row in of.rows:
            row[place] = (" ", "", "\u00a0")[rng.integers(3)] + row[place]
    return SAME if of.columns("id", "class") else None


@way
def no_name(of: Mangled, rng: np.random.Generator) -> May | None:
    places = of.columns("id", "class")
    if not places:
        return None
    of.rows[int(rng.integers(len(of.rows)))][one(rng, places)] = ("", " ", "NA")[rng.integers(3)]
    return told("read as a name")
