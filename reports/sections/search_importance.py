"""Importance: which searched keys the score depends on, by fANOVA."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Rectangle

from reports.blocks import Cell, Figure, Rows, Table
from reports.data.search import Search, SearchSection, objective_name
from reports.figures.marks import Mark, marked
from reports.figures.theme import INK, SLOTS, draw, panels
from reports.formatting import count, listing, percent, short_names

HOW = (
    "A row is one [recipe], a column one searched key, then pairs of keys; the number is the"
    " [importance]: how much of the ups and downs over the whole space it explains by itself. Dark"
    " cells are the keys that are worth tuning; pale ones may keep their default. A pair counts"
    " only what its keys do together beyond each alone. A forest fitted to few trials knows little:"
    " the table has the spread over its trees."
)


class Importance(SearchSection):
    """Shares of a random forest's variance by arm: single keys, and pairs beyond them."""

    title = "What mattered in the search"

    def blocks(self, search: Search) -> list[Figure]:
        return [figure(search, objective) for objective in search.importance["objective"].unique()]


def columns_of(search: Search) -> list[tuple[str, str | None]]:
    pairs = search.importance[["key", "other"]].drop_duplicates()
    found = [
        (str(key), None if other is None or other != other else str(other))
        for key, other in pairs.itertuples(index=False)
    ]
    return [one for one in found if one[1] is None] + [one for one in found if one[1] is not None]


def shares(search: Search, objective: str) -> tuple[list[str], np.ndarray]:
    """Arms that have shares, and their shares [arms, columns]."""
    own = search.importance[search.importance["objective"] == objective]
    arms = [arm for arm in search.labels if (own["arm"] == arm).any()]
    table = np.full((len(arms), len(columns_of(search))), np.nan)
    for index, (key, other) in enumerate(columns_of(search)):
        at = own[
            (own["key"] == key) & (own["other"].isna() if other is None else own["other"] == other)
        ]
        for arm, share in zip(at["arm"], at["share"], strict=True):
            table[arms.index(arm), index] = share
    return arms, table


def named(search: Search, column: tuple[str, str | None]) -> str:
    names = short_names(search.keys)
    return " × ".join(names[part] for part in column if part)


def figure(search: Search, objective: str) -> Figure:
    arms, table = shares(search, objective)
    columns = columns_of(search)
    singles = [index for index, column in enumerate(columns) if column[1] is None]
    picture = draw(
        lambda rasterized: heat(search, arms, table, columns), name=f"search-importance-{objective}"
    )
    top = [named(search, columns[singles[int(np.nanargmax(row[singles]))]]) for row in table]
    counted = {name: top.count(name) for name in dict.fromkeys(top)}
    leading = listing([f"{name} ({count(n, 'recipe')})" for name, n in counted.items()])
    finding = f"Most of the variance of the {objective_name(objective)} goes with {leading}."
    trials = search.importance["trials"]
    many = f"{int(trials.min())}" + (
        f" to {int(trials.max())}" if trials.max() > trials.min() else ""
    )
    caption = (
        f"fANOVA over the whole space, from a random forest fitted to each recipe's {many} trials:"
        " with so few, shares are rough (standard deviation over the trees in the table). Keys"
        " alone first, then pairs: what they do together beyond each alone."
    )
    own = search.importance[search.importance["objective"] == objective]
    rows: Rows = [
        [
            search.labels[arm],
            named(search, (key, None if other is None or other != other else other)),
            Cell(percent(share), share),
            percent(sd),
        ]
        for arm, key, other, share, sd in own[["arm", "key", "other", "share", "sd"]].itertuples(
            index=False
        )
    ]
    return Figure(
        picture,
        caption,
        f"Importance of searched keys. {finding}",
        Table(
            ["recipe", "key or pair", "share", "sd over trees"],
            rows,
            "Shares of variance",
            filtered=True,
        ),
        10.0,
        finding,
        HOW,
    )


def heat(
    search: Search, arms: list[str], table: np.ndarray, columns: list[tuple[str, str | None]]
) -> Drawing:
    longest = max(len(search.labels[arm]) for arm in arms)
    left = min(3.2, 0.3 + 0.065 * longest)
    drawing, axes = panels(
        1,
        1,
        width=10,
        height=1.1 + 0.28 * len(arms),
        left=left,
        right=0.15,
        top=0.15,
        bottom=0.9,
        gap=(0, 0),
    )
    axis = axes[0, 0]
    for row, column in np.ndindex(*table.shape):
        share = float(table[row, column])
        if np.isfinite(share):
            alpha = min(1.0, 0.06 + 0.6 * share)
            box = axis.add_patch(
                Rectangle(
                    (column - 0.48, row - 0.44),
                    0.96,
                    0.88,
                    facecolor=SLOTS[0],
                    alpha=alpha,
                    linewidth=0,
                )
            )
            what = named(search, columns[column])
            marked(box, Mark(f"{search.labels[arms[row]]}, {what}: {percent(share)}"))
            axis.text(
                column,
                row + 0.02,
                percent(share),
                ha="center",
                va="center",
                fontsize=6.5,
                color=INK,
            )
    axis.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(arms) - 0.5, -0.5))
    axis.set_xticks(
        range(len(columns)), [named(search, column) for column in columns], rotation=30, ha="right"
    )
    axis.set_yticks(range(len(arms)), [search.labels[arm] for arm in arms])
    axis.tick_params(length=0)
    return drawing
