"""A table that has been read: columns of text or numbers, and where its rows stand in the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

LARGE = 1 << 24  # bytes of text whose memory is given back at once


@dataclass(frozen=True)
class Table:
    """columns: by name, numbers where nothing else is in them, else text as in the file (Parquet:
    of any type); `row`: a row's line.

    Text that has been read as numbers is let go: see `keep`. samples: of columns of numbers, the
    text of cells from the first row to the last. reread: the whole text of one, from the file.
    """

    path: str
    columns: dict[str, pa.ChunkedArray]
    rows: int
    row: Callable[[int], int]
    left_out: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    samples: Mapping[str, pa.ChunkedArray] = field(default_factory=dict)
    reread: Callable[[str], pa.ChunkedArray] | None = None

    def keep(self, name: str, values: np.ndarray) -> None:
        """Hold numbers [N] instead of their text, which is longer."""
        if values.flags.c_contiguous:
            large = self.columns[name].nbytes > LARGE and pa.types.is_string(
                self.columns[name].type
            )
            self.columns[name] = pa.chunked_array([pa.array(values)])
            if large:
                pa.default_memory_pool().release_unused()

    def cell(self, name: str, row: int) -> object:
        return self.columns[name][row].as_py()

    def sample(self, name: str) -> pa.ChunkedArray:
        """Cells of a column as they are written, the first one among them."""
        return self.samples.get(name, self.columns[name])

    def written(self, name: str) -> pa.ChunkedArray:
        """All cells of a column as they are written [N], read once more where they were let go."""
        if name not in self.samples or self.reread is None:
            return self.columns[name]
        return self.reread(name)
