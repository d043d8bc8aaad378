"""The kernel that `kernel=auto` chooses, by device type, cell and size.

It comes from a committed table (table.yaml, written by `make bench-kernels`) and is never timed at
run time. The kernel is part of a point's identity, so it depends on the point's configuration
alone, not on how many points are trained together.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from study.records import StudyError

TABLE = Path(__file__).with_name("table.yaml")
Row = tuple[int, int, str]  # hidden, batch, kernel


def fastest(device_type: str, cell: str, hidden: int, batch: int) -> str | None:
    """The fastest kernel at the nearest measured size, or None if the table has no such cell.

    Nearest on a logarithmic scale, in hidden units first. cell: module and name of its class.
    Raises StudyError if the table is damaged.
    """
    rows = read(TABLE).get(device_type, {}).get(cell)
    if not rows:
        return None
    nearest = min(
        rows,
        key=lambda row: (
            _log_distance(row[0], hidden),
            row[0],
            _log_distance(row[1], batch),
            row[1],
        ),
    )
    return nearest[2]


def _log_distance(a: int, b: int) -> float:
    return abs(math.log(a / b))


@functools.lru_cache(maxsize=2)
def read(path: Path) -> Mapping[str, Mapping[str, Sequence[Row]]]:
    """Device type -> cell -> rows; StudyError if the file is damaged."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {
            str(device): {str(cell): tuple(map(_row, rows)) for cell, rows in cells.items()}
            for device, cells in content["kernels"].items()
        }
    except (OSError, yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(
            f"kernel: auto reads study/kernels/{path.name}, which is damaged or missing"
            f" ({type(error).__name__}: {str(error).splitlines()[0]}); name a kernel, such as"
            " kernel=native, install the tool again, or write the table again: make bench-kernels"
        ) from error


def _row(row: Mapping[str, Any]) -> Row:
    hidden, batch, kernel = row["hidden"], row["batch"], row["kernel"]
    if not all(
        isinstance(size, int) and not isinstance(size, bool) and size > 0
        for size in (hidden, batch)
    ) or not isinstance(kernel, str):
        raise ValueError(
            f"a row must be {{hidden: units, batch: examples, kernel: name}}, got {dict(row)}"
        )
    return hidden, batch, kernel
