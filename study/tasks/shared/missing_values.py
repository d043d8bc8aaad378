"""What becomes of missing values in a table: refused, or filled from before or with means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from study.records import StudyError
from study.tasks.shared.steps import Reading, forward


@dataclass(frozen=True)
class Filling:
    """missing: refuse, forward (the last value of the sequence) or mean (of training rows).

    path: of the table, for messages. means: with mean, by column, once values are filled.
    """

    reading: Reading
    path: str
    missing: str
    means: dict[str, float] = field(default_factory=dict)

    def steps(
        self,
        columns: Sequence[str],
        values: np.ndarray,
        begins: np.ndarray,
        origin: np.ndarray,
        train: np.ndarray,
    ) -> np.ndarray:
        """Values [N, D] of sequences below each other, the first rows at `begins`.

        origin: rows of the file [N], -1 for none. train: whether a row trains [N].
        """
        finite = np.isfinite(values)
        if self.missing == "mean":
            self._note_means(columns, values[train], finite[train])
        if finite.all():
            return values
        rows, places = np.nonzero(~finite)
        first = int(np.argmin(origin[rows]))
        self._refuse_or_warn(len(rows), int(origin[rows[first]]), columns[places[first]])
        # in place: it is no one else's, and may be large
        values = np.require(values, requirements="W")
        values[~finite] = np.nan
        if self.missing == "forward":
            values = forward(values, begins)
            if (still := np.isnan(values)).any():
                row, place = np.argwhere(still)[0]
                self._nothing_before(origin[row], columns[place])
            return values
        known = finite & (train[:, None] | finite.all(0))
        np.copyto(values, self._means(columns, values, known), where=~finite)
        return values

    def rows(
        self,
        columns: Sequence[str],
        values: np.ndarray,
        inside: np.ndarray,
        origin: np.ndarray,
        train: Callable[[], np.ndarray],
    ) -> np.ndarray:
        """Values [N, T] of one sequence per row, where they are `inside` it [N, T].

        origin: rows of the file [N]. train: finds the positions of rows that train.
        """
        gaps = ~np.isfinite(values) & inside
        some = train() if self.missing == "mean" else np.array([], int)
        self._note_means(columns, values[some], np.isfinite(values[some]) & inside[some])
        if not gaps.any():
            return values
        rows, steps = np.nonzero(gaps)
        first = int(np.argmin(origin[rows]))
        self._refuse_or_warn(len(rows), int(origin[rows[first]]), columns[steps[first]])
        values = np.where(gaps, np.nan, values)
        if self.missing == "forward":
            values = forward(values.T, np.array([0])).T
            if (still := np.isnan(values) & inside).any():
                row, step = np.argwhere(still)[0]
                self._nothing_before(origin[row], columns[step])
            return values
        known = np.isfinite(values) & inside
        return np.where(gaps, self._means(columns, values[some], known[some]), values)

    def _refuse_or_warn(self, count: int, row: int, column: str) -> None:
        if self.missing == "refuse":
            row_named = f"row {self.reading.row(row)}, " if row >= 0 else ""
            raise StudyError(
                f"task.path: {self.path} has {count} missing or infinite values, the first in"
                f" {row_named}column {column}; task.missing=forward or mean fills them in"
            )
        self.reading.warnings.append(
            f"{count:,} missing or infinite values are filled (task.missing={self.missing})"
        )

    def _nothing_before(self, row: int, column: str) -> None:
        raise StudyError(
            f"task.missing: forward finds no value before row {self.reading.row(row)}, column"
            f" {column} of {self.path} in the same sequence; use mean"
        )

    def _note_means(self, columns: Sequence[str], values: np.ndarray, known: np.ndarray) -> None:
        """Keep the means of training rows, with which an export fills new rows."""
        if self.missing == "mean" and known.any(0).all():
            self.means.update(zip(columns, self._means(columns, values, known), strict=True))

    def _means(self, columns: Sequence[str], values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Means of columns over the known values; StudyError if a column has none."""
        if not (count := known.sum(0)).all():
            raise StudyError(
                f"task.missing: column {columns[int(count.argmin())]} of {self.path} has no value"
                " in the training part; leave it out of task.features"
            )
        means: np.ndarray = np.where(known, values, 0).sum(0) / count
        return means
