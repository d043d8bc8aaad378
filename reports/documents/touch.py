"""Finds the arms that rows of tables and boxes of matrices are about, by their words.

Sections write an arm as its label. Here a table that has one in every row gets a column a factor
in its place, and rows and boxes get their arms' numbers, which the page's script goes by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reports.analysis.marks import arms_with
from reports.blocks import Cards, Cell, Figure, Fold, Matrices, Matrix, Table
from reports.data.study import Study
from reports.figures.marks import ranges
from reports.formatting import isolated, level, levels, short_name

Row = Sequence[Cell | str]


@dataclass(frozen=True)
class Arms:
    """Arms of a study by what a page writes of them.

    `by_label`: labels; `by_point`: ids of points; `by_level`: the key and a level in words;
    `names`: how columns of factors are headed.
    """

    by_label: Mapping[str, int]
    by_point: Mapping[str, int]
    by_level: Mapping[tuple[str, str], str]
    names: Mapping[str, str]


def with_arms(study: Study, block: Any) -> Any:
    """The block with its arms' numbers; tables by arm with a column a factor."""
    known = study.cached("arms by what is written of them", lambda: _arms(study))
    return _with(study, known, block)


def _with(study: Study, known: Arms, block: Any) -> Any:
    if isinstance(block, Table):
        return _table(study, known, block)
    if isinstance(block, Fold):
        return replace(block, blocks=[_with(study, known, one) for one in block.blocks])
    if isinstance(block, Figure) and block.table is not None:
        return replace(block, table=_table(study, known, block.table))
    if isinstance(block, Cards):
        cards = [
            replace(one, figure=_with(study, known, one.figure) if one.figure else None)
            for one in block.cards
        ]
        return replace(block, cards=cards)
    if isinstance(block, Matrices):
        return replace(block, matrices=[_matrix(study, one) for one in block.matrices])
    return block


def _arms(study: Study) -> Arms:
    arms = study.arms
    by_level = {
        (key, text): label
        for key, labels in study.factors.items()
        for label in labels
        for text in (level(key, label), label)
    }
    return Arms(
        dict(zip(arms["label"], map(int, arms["arm"]), strict=True)),
        {str(id): int(arm) for id, arm in zip(study.grid["id"], study.grid["arm"], strict=True)},
        by_level,
        {key: short_name(key) for key in study.factors},
    )


def _table(study: Study, known: Arms, table: Table) -> Table:
    found = [_of_row(study, known, table.columns, row) for row in table.rows]
    labelled = [known.by_label.get(_text(row[0])) for row in table.rows if row]
    if study.factors and table.rows and None not in labelled and len(labelled) == len(table.rows):
        table = _by_factor(study, known, table)
    return replace(table, arms=found) if any(found) else table


def _of_row(study: Study, known: Arms, columns: Sequence[str], row: Row) -> str:
    """The arms that a row is about: by its label, an id, or the levels in its columns."""
    texts = [_text(cell) for cell in row]
    if texts and texts[0] in known.by_label:
        return str(known.by_label[texts[0]])
    for text in texts:
        if text in known.by_point:
            return str(known.by_point[text])
    named = dict(zip(columns, texts, strict=False))
    if "level" in named and named.get("factor") in study.factors:
        named[named["factor"]] = named["level"]
    where = {
        key: known.by_level[key, named[name]]
        for key, name in known.names.items()
        for name in (key, name)
        if name in named and (key, named[name]) in known.by_level
    }
    return ranges(arms_with(study, where)) if where else ""


def _by_factor(study: Study, known: Arms, table: Table) -> Table:
    """The table with a column a factor in place of the labels."""
    by_arm = study.arms.set_index("arm")
    rows: list[list[Cell | str]] = []
    for row in table.rows:
        kind = row[0].kind if isinstance(row[0], Cell) else ""
        own = by_arm.loc[known.by_label[_text(row[0])]]
        labels = [Cell(isolated(str(own[key])), None, kind) for key in study.factors]
        rows.append([*labels, *row[1:]])
    heads = list(known.names.values())
    return replace(table, columns=[*heads, *table.columns[1:]], rows=rows, heads=len(study.factors))


def _matrix(study: Study, matrix: Matrix) -> Matrix:
    """Boxes of arms: their levels stand at the row, at the column, and in the title."""
    at = study.cached("arms by row, column and title", lambda: _by_place(study))
    boxes = [
        [
            replace(box, arm=at.get((row, column, matrix.title), ""))
            for column, box in zip(matrix.columns, line, strict=False)
        ]
        for row, line in zip(matrix.rows, matrix.boxes, strict=False)
    ]
    return replace(matrix, boxes=boxes)


def _by_place(study: Study) -> dict[tuple[str, str, str], str]:
    """Arms by the heads of their row and column, and the title of their matrix."""
    row_key, column_key = study.matrix_factors
    return {
        (
            level(row_key, arm[row_key]),
            study.column_head(arm[column_key]),
            levels({key: arm[key] for key in study.other_factors}) if study.other_factors else "",
        ): str(int(arm["arm"]))
        for _, arm in study.arms.iterrows()
    }


def _text(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else cell.text
