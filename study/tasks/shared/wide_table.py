"""Tables whose rows are sequences and whose columns are their steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from study.records import StudyError
from study.tasks.shared import leaks, suspects
from study.tasks.shared.columns import Features
from study.tasks.shared.missing_values import Filling
from study.tasks.shared.reading import Read
from study.tasks.shared.steps import Reading
from study.tasks.shared.table_examples import codes_of, examples
from study.tasks.shared.table_roles import Names, of_rows
from study.tasks.shared.table_settings import IN_TIME, TableSettings


@dataclass(frozen=True)
class WideTable:
    """found: the features; names: of target, group and part; training: finds who will train."""

    settings: TableSettings
    reading: Reading
    found: Features
    names: Mapping[str, Names]
    training: Callable[[Read], np.ndarray]

    def read(self) -> tuple[Read, Mapping[str, float]]:
        """The examples and their sequences; means by which missing values are filled."""
        settings, reading = self.settings, self.reading
        found, names = self.found, self.names
        values = np.column_stack([found.numbers[name] for name in found.order])
        order = np.arange(len(values))
        if reading.times is not None and settings.how in IN_TIME:
            order = np.argsort(reading.times.stamps, kind="stable")
            values = values[order]
        elif reading.times is not None:
            reading.warnings.append(
                f"task.time={settings.time} has no effect: each row is a sequence, and the split is"
                " not by time"
            )
        lengths = self._lengths(values, order)
        targets = of_rows(names["target"], order) if reading.target is None else reading.target
        targets = targets if reading.target is None else targets[order]
        groups, parts = (
            of_rows(names[key], order) if key in names else None for key in ("group", "part")
        )
        read = examples(
            settings, targets, [f"row {reading.row(row)}" for row in order], groups, parts
        )
        codes = codes_of(settings, targets)
        for target, called in zip(codes.T, settings.called, strict=True):
            reading.warnings += leaks.giveaways(
                found.order,
                list(values.T),
                target,
                np.arange(len(values)),
                classes=settings.form == "classification",
                called=called,
            )
        if settings.features is None:
            reading.warnings += suspects.steps_out_of_order(found.order)
        reading.warnings += suspects.other_scales(found.order, values)
        reading.warnings += suspects.copies(values, codes, lambda row: reading.row(order[row]))
        inside = np.arange(values.shape[1]) < lengths[:, None]
        filling = Filling(reading, settings.path, settings.missing)
        values = filling.rows(found.order, values, inside, order, lambda: self.training(read))
        sequences = [row[:length, None] for row, length in zip(values, lengths, strict=True)]
        return replace(read, sequences=sequences, columns=list(found.order)), filling.means

    def _lengths(self, values: np.ndarray, order: np.ndarray) -> np.ndarray:
        """The steps of each row [N]: empty cells at its end are none."""
        settings, reading = self.settings, self.reading
        blank = np.isnan(values)
        if (empty := blank.all(1)).any():
            raise StudyError(
                f"task.path: row {reading.row(order[empty.argmax()])} of {settings.path} has no"
                " value in the columns that are read"
            )
        lengths = values.shape[1] - np.argmin(blank[:, ::-1], axis=1)
        if (short := lengths < lengths.max()).any():
            reading.warnings.append(
                f"{int(short.sum()):,} rows end in empty cells, which are read as the end of their"
                f" sequences, after {lengths.min()} steps at the earliest"
            )
        return lengths
