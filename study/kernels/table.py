"""What `kernel=auto` takes: a committed table by kind of device, cell and size (table.yaml),
written by `make bench-kernels`, never timed at run time.

The kernel is part of a point's identity, so it follows from the point's own configuration: never
from how many are trained with it.
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
    """The kernel of the measured size next to this one, on a logarithmic scale, hidden units first;
    None for what is not in the table.

    cell: module and name of its class. Raises StudyError where the table is damaged.
    """
    rows = read(TABLE).get(device_type, {}).get(cell)
    if not rows:
        return None
    nearest = min(
        rows, key=lambda row: (_apart(row[0], hidden), row[0], _apart(row[1], batch), row[1])
    )
    return nearest[2]


def _apart(one: int, other: int) -> float:
    return abs(math.log(one / other))


@functools.lru_cache(maxsize=2)
def read(path: Path) -> Mapping[str, Mapping[str, Sequence[Row]]]:
    """Device type -> cell -> rows. Raises StudyError with what is wrong."""
    try:
        whole = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {
            str(device): {str(cell): tuple(map(_row, rows)) for cell, rows in cells.items()}
            for device, cells in whole["kernels"].items()
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
