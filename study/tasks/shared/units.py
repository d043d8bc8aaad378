"""What stands beside the numbers of text columns, as exports must read them again."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from study.tasks.shared.cells import TRUTH, Style, read_cell
from study.tasks.shared.table import Table


def units_of(table: Table, style: Style) -> dict[str, str]:
    """The unit of each text column that has one; words: true/false.

    Columns that are read as numbers have one unit in all cells, else they are refused.
    """
    texts = {name: of for name, of in table.columns.items() if pa.types.is_string(of.type)}
    found = {name: _unit(column, style) for name, column in texts.items()}
    return {name: unit for name, unit in found.items() if unit}


def _unit(column: pa.ChunkedArray, style: Style) -> str:
    """That of the first cell with a value; where it is 1 or 0, others may be words."""
    for cell in column:
        text = str(cell.as_py() or "")
        read = read_cell(text, style)
        if read is not None and read.missing:
            continue
        others = [text]
        if read is not None and read.value in (0, 1) and not read.unit:
            others = pc.unique(column).to_pylist()
        if any(str(other or "").strip().casefold() in TRUTH for other in others):
            return "true/false"
        return "" if read is None else read.unit
    return ""
