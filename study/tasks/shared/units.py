"""What stands beside the numbers of text columns, as exports must read them again."""

from __future__ import annotations

import pyarrow as pa

from study.tasks.shared.table import TRUTH, Style, read_cell
from study.tasks.shared.table_files import Table


def units_of(table: Table, style: Style) -> dict[str, str]:
    """The unit of each column whose first cell with a value has one; words: true/false.

    Columns that are read as numbers have one unit in all cells, else they are refused.
    """
    found = {}
    for name, column in table.columns.items():
        if not pa.types.is_string(column.type):
            continue
        for cell in column:
            text = str(cell.as_py() or "")
            read = read_cell(text, style)
            if read is None and text.strip().casefold() in TRUTH:
                found[name] = "true/false"
            if read is None or not read.missing:
                break
        if read is not None and read.unit:
            found[name] = read.unit
    return found
