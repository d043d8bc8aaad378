"""Your own table, one row per step or per sequence: classification, regression or forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from study.interfaces import require
from study.records import StudyError
from study.tasks.shared import leaks, suspects
from study.tasks.shared.columns import Features, check_numbers, features
from study.tasks.shared.forecasting import windows
from study.tasks.shared.series import Read, Series, part_names, split_groups
from study.tasks.shared.steps import (
    Reading,
    Steps,
    Timed,
    back,
    first_rows,
    forward,
    listed,
    ordered,
    several_series,
    shown,
)
from study.tasks.shared.table import (
    Style,
    Times,
    as_written,
    coded,
    looks_like_dates,
    mark,
    names_of,
    numbers,
    odd_names,
    out_of_order,
    times,
)
from study.tasks.shared.table_files import Table, read_table

FORMS = ("classification", "regression", "forecast")
GAPS = ("refuse", "split", "fill", "allow")
IN_TIME = ("chronological", "time")  # splits by the order of rows
ELAPSED = "elapsed"  # the channel of task.elapsed
LICENCE = "the reader's own data"
Names = tuple[np.ndarray, np.ndarray]  # (code of each row [N], names by code)


class Csv(Series):
    """`path`: a CSV file with a header, or a Parquet file. `target`: the column to predict.

    With `series`, rows with the same name in that column are one sequence, in the order of `time`
    if given, else of the file; the target must be the same in all of them. Without it, each row is
    a sequence and its columns are the steps; empty cells at its end are no steps. `features`:
    columns to read, null for all numeric ones except `target`, `series`, `time` and `group`.
    `categories`: auto reads text columns as well, one channel per level of the training part.
    `group`: a column; examples with the same name in it stay in one part. `part`: a column of
    train, validation and test, which split=file uses; without validation, it is drawn from train.

    `separator`, `decimal`, `thousands`: a character or its name; `encoding` null: UTF-8, or what
    the byte order mark says. `missing`: refuse | mean (of the column's training rows) | forward
    (the previous value of the sequence).

    `time` must not repeat within a series. `gaps` in a regular one: refuse | split (no sequence or
    window crosses a gap) | fill (with rows of missing values) | allow (as if there were none, and
    repeated times). `resample`: means over such spans, as pandas writes them ("1h"). `elapsed`: the
    time since the last row (dates: in seconds) is a feature too.

    forecast: predicts the target `horizon` rows ahead from the last `window` rows of the features
    and the target; the last shares of the rows are validation and test, and no window crosses from
    one part into another; with `group`, whole series are drawn instead, and with `part`, rows
    belong to the part named there. `stride`: rows from the beginning of one window to that of the
    next. `season`, in rows, adds the seasonal naive rule to persistence. `known`: features whose
    value in the predicted row is an input too, such as holidays.
    """

    # all that came after ids were first stored
    read_by = (
        *("group", "categories", "separator", "decimal", "thousands", "encoding"),
        *("gaps", "resample", "elapsed", "part", "stride", "known"),
    )

    def __init__(
        self,
        *,
        path: str,
        target: str,
        kind: Literal["classification", "regression", "forecast"],
        series: str | None,
        time: str | None,
        group: str | None,
        part: str | None,
        features: Sequence[str] | str | None,
        categories: Literal["auto"] | None,
        separator: str,
        decimal: str,
        thousands: str | None,
        encoding: str | None,
        missing: Literal["refuse", "mean", "forward"],
        gaps: Literal["refuse", "split", "fill", "allow"],
        resample: str | None,
        elapsed: bool,
        window: int,
        horizon: int,
        stride: int,
        season: int | None,
        known: Sequence[str] | None,
        **settings: Any,
    ) -> None:
        require(kind in FORMS, "csv", "kind", " or ".join(FORMS), kind)
        require(
            missing in ("refuse", "mean", "forward"),
            "csv",
            "missing",
            "refuse, mean or forward",
            missing,
        )
        require(gaps in GAPS, "csv", "gaps", ", ".join(GAPS), gaps)
        require(categories in ("auto", None), "csv", "categories", "auto or null", categories)
        require(isinstance(elapsed, bool), "csv", "elapsed", "true or false", elapsed)
        require(window >= 1, "csv", "window", "at least 1 row", window)
        require(horizon >= 1, "csv", "horizon", "at least 1 row", horizon)
        require(stride >= 1, "csv", "stride", "at least 1 row", stride)
        require(season is None or season >= 1, "csv", "season", "at least 1 row, or null", season)
        super().__init__(kind="regression" if kind == "forecast" else kind, **settings)
        self.form: str = kind
        self.path, self.target, self.series, self.time, self.group, self.part = (
            path,
            target,
            series,
            time,
            group,
            part,
        )
        self.features = [features] if isinstance(features, str) else features
        self.categories, self.missing, self.gaps = categories, missing, gaps
        self.resample, self.elapsed, self.encoding = resample, elapsed, encoding
        self.window, self.horizon, self.stride, self.season = window, horizon, stride, season
        self.known = [] if known is None else list(known)
        self.separator = mark(str(separator))
        self.style = Style(mark(str(decimal)), mark("" if thousands is None else str(thousands)))
        # whether a row is a step, not a sequence
        self.ordered = series is not None or kind == "forecast"
        self._check_marks()
        self._check_use()

    def _check_marks(self) -> None:
        require(
            len(self.separator) == 1 and self.separator.isascii() and not self.separator.isalnum(),
            "csv",
            "separator",
            "one character, or comma, semicolon, tab, pipe, space",
            self.separator,
        )
        point, group = self.style.decimal, self.style.thousands
        require(point in (".", ","), "csv", "decimal", "point or comma", point)
        require(
            group in ("", ",", ".", " ", "'") and group != point,
            "csv",
            "thousands",
            "comma, point, space or apostrophe, another than decimal, or null",
            group,
        )

    def _check_use(self) -> None:
        """Refuse settings that this form of table would ignore."""
        for key, value, idle in (
            ("gaps", self.gaps, "refuse"),
            ("resample", self.resample, None),
            ("elapsed", self.elapsed, False),
        ):
            if value != idle and (self.time is None or not self.ordered):
                raise StudyError(
                    f"task.{key}: needs task.time"
                    + ("" if self.ordered else ", and task.series or task.kind=forecast")
                )
        if self.season is not None and self.form != "forecast":
            raise StudyError("task.season: is for task.kind=forecast")
        if self.stride != 1 and self.form != "forecast":
            raise StudyError("task.stride: is for task.kind=forecast")
        if self.known and self.form != "forecast":
            raise StudyError("task.known: is for task.kind=forecast")
        self._check_split()
        if self.categories is not None and not self.ordered:
            raise StudyError(
                "task.categories: the columns of a row are the steps of one channel, which holds"
                " numbers; categories need task.series or task.kind=forecast"
            )
        if self.gaps == "fill" and self.missing == "refuse":
            raise StudyError("task.gaps: fill needs task.missing=forward or mean")
        if self.resample is not None:
            try:
                positive = pd.tseries.frequencies.to_offset(self.resample).n > 0
            except (ValueError, TypeError, AttributeError):
                positive = False
            if not positive or not isinstance(self.resample, str):
                raise StudyError(
                    f"task.resample: must be a span such as 1h, 15min or 1D, got {self.resample!r}"
                )

    def _check_split(self) -> None:
        """Refuse a split without its column, and columns that the split would ignore."""
        for how, key, name in (("group", "group", self.group), ("file", "part", self.part)):
            if self.how == how and name is None:
                raise StudyError(f"task.split: {how} needs task.{key}, the column that says it")
        if self.part is not None and self.how != "file":
            raise StudyError(f"task.part: needs task.split=file, got {self.how}")
        if self.part is not None and (self.resample is not None or self.gaps == "fill"):
            raise StudyError("task.part: rows of task.resample and task.gaps=fill have no part")
        if self.group is not None and self.form == "forecast" and self.series is None:
            raise StudyError(
                "task.group: forecasts by group need task.series, the column that tells series"
                f" apart; task.series={self.group} if a group is a series"
            )

    # --- reading ----------------------------------------------------------------------------------

    def read(self) -> Read:
        table = read_table(self.path, separator=self.separator, encoding=self.encoding)
        roles = self._roles(table)
        reading = Reading(table, list(table.warnings))
        names = {key: self._names(reading, key) for key in self._naming()}
        if self.form != "classification":
            self._read_target(reading)
        if self.time is not None:
            reading.times = self._read_times(table)
        found = features(
            table,
            roles,
            named=self.features,
            categories=self.categories is not None,
            steps=self.ordered,
            style=self.style,
            semicolons=self.separator == ";",
        )
        reading.warnings += found.warnings
        values = dict(found.numbers)
        if reading.target is not None:
            values[self.target] = reading.target
        reading.warnings += suspects.far_values(values)
        reading.warnings += suspects.totals(table, values, [*found.order, self.time or ""])
        reading.notes += found.notes
        if not found.order and self.form != "forecast":
            left = "; ".join(f"{name}: {why}" for name, why in found.left_out.items())
            raise StudyError(
                f"task.features: {self.path} has no numeric column beside {self.target}"
                f"{f' ({left})' if left else ''}; name the columns to read"
            )
        read = (self._long if self.ordered else self._wide)(reading, found, names)
        return replace(
            read,
            left_out=found.left_out,
            warnings=[*reading.warnings, *read.warnings],
            notes=reading.notes,
        )

    def _roles(self, table: Table) -> dict[str, str]:
        """The key that names each column; StudyError if there is no such column."""
        roles: dict[str, str] = {}
        for key in ("target", "series", "time", "group", "part"):
            name = getattr(self, key)
            if name is None:
                continue
            if name in table.left_out:
                raise StudyError(
                    f"task.{key}: column {name} of {self.path} cannot be read:"
                    f" {table.left_out[name]}"
                )
            if name not in table.columns:
                only = next(iter(table.columns))
                hint = len(table.columns) == 1 and " " in only and self.separator != " "
                raise StudyError(
                    f"task.{key}: {self.path} has no column {name!r}; it has"
                    f" {', '.join(table.columns)}"
                    f"{'; task.separator=space divides it by spaces' if hint else ''}"
                )
            if name in roles and {key, roles[name]} != {"series", "group"}:
                raise StudyError(f"task.{key}: {name} is task.{roles[name]} already")
            roles.setdefault(name, key)
        return roles

    def _naming(self) -> list[str]:
        """Keys of the columns that hold names."""
        keys = ["series", "group", "part"] + (["target"] if self.form == "classification" else [])
        return [key for key in keys if getattr(self, key) is not None]

    def _names(self, reading: Reading, key: str) -> Names:
        """(code of each row [N], names) of a column of names."""
        column = getattr(self, key)
        codes, texts = coded(names_of(reading.table.columns[column]))
        if "" in texts:
            row = reading.row(np.argmax(codes == texts.index("")))
            raise StudyError(f"task.{key}: {column} is missing in row {row} of {self.path}")
        reading.warnings += odd_names(column, codes, texts)
        return codes, as_written(texts)

    def _read_target(self, reading: Reading) -> None:
        read = numbers(reading.table.columns[self.target], self.style)
        check_numbers(reading.table, self.target, read, self.style)
        reading.target = read.values
        if read.unit:
            reading.notes.append(f"{self.target}: read with {read.unit}")
        reading.warnings += suspects.written(
            self.target,
            reading.table.columns[self.target],
            self.style,
            semicolons=self.separator == ";",
        )
        reading.table.keep(self.target, read.values)
        wrong = ~np.isfinite(read.values)
        if self.form == "regression" and wrong.any():
            raise StudyError(
                f"task.target: {self.target} is missing or infinite in row"
                f" {reading.row(wrong.argmax())} of {self.path}"
            )

    def _read_times(self, table: Table) -> Times:
        assert self.time is not None
        found = times(table.columns[self.time])
        if len(found.wrong):
            row = int(found.wrong[0])
            raise StudyError(
                f"task.time: column {self.time} of {self.path} must hold numbers or dates as"
                f" 2024-01-31, all or none with a time zone; row {table.row(row)} has"
                f" {table.cell(self.time, row)!r}"
            )
        if self.resample is not None and not found.dates:
            raise StudyError(
                f"task.resample: column {self.time} of {self.path} holds numbers; spans such as"
                f" {self.resample} need dates"
            )
        return found

    def _data(
        self,
        targets: np.ndarray,
        labels: Sequence[str],
        groups: np.ndarray | None,
        parts: np.ndarray | None,
    ) -> Read:
        """The examples without their sequences."""
        if self.form == "classification" and targets.dtype.kind in "if":
            kinds = len(np.unique(targets))
            if kinds > max(len(targets) / 2, 20):
                raise StudyError(
                    f"task.target: {self.target} has {kinds} different numbers in"
                    f" {len(targets)} examples, too many for classes; task.kind=regression predicts"
                    " numbers"
                )
        return Read(
            sequences=[np.empty((0, 0))] * len(labels),
            targets=targets,
            names=labels,
            source=Path(self.path).name,
            licence=LICENCE,
            groups=groups,
            parts=parts,
        )

    def _training(self, read: Read) -> np.ndarray:
        """The examples that will train: the split does not depend on the features."""
        self.classes = sorted(set(read.targets.tolist())) if self.kind == "classification" else []
        return self._split(read)["train"]

    def _codes(self, targets: np.ndarray) -> np.ndarray:
        """Targets as numbers, classes by their place."""
        if self.kind == "regression":
            return targets
        return np.unique(targets, return_inverse=True)[1]

    # --- a row is a sequence ----------------------------------------------------------------------

    def _wide(self, reading: Reading, found: Features, names: Mapping[str, Names]) -> Read:
        values = np.column_stack([found.numbers[name] for name in found.order])
        order = np.arange(len(values))
        if reading.times is not None and self.how in IN_TIME:
            order = np.argsort(reading.times.stamps, kind="stable")
            values = values[order]
        elif reading.times is not None:
            reading.warnings.append(
                f"task.time={self.time} has no effect: each row is a sequence, and the split is not"
                " by time"
            )
        lengths = self._lengths(reading, values, order)
        targets = _of_rows(names["target"], order) if reading.target is None else reading.target
        targets = targets if reading.target is None else targets[order]
        groups, parts = (
            _of_rows(names[key], order) if key in names else None for key in ("group", "part")
        )
        read = self._data(targets, [f"row {reading.row(row)}" for row in order], groups, parts)
        reading.warnings += leaks.giveaways(
            found.order,
            list(values.T),
            self._codes(targets),
            np.arange(len(values)),
            classes=self.kind == "classification",
        )
        if self.features is None:
            reading.warnings += suspects.steps_out_of_order(found.order)
        reading.warnings += suspects.other_scales(found.order, values)
        reading.warnings += suspects.copies(
            values, self._codes(targets), lambda row: reading.row(order[row])
        )
        inside = np.arange(values.shape[1]) < lengths[:, None]
        values = self._filled_rows(reading, found.order, values, inside, order, read)
        sequences = [row[:length, None] for row, length in zip(values, lengths, strict=True)]
        return replace(read, sequences=sequences, columns=list(found.order))

    def _lengths(self, reading: Reading, values: np.ndarray, order: np.ndarray) -> np.ndarray:
        """The steps of each row [N]: empty cells at its end are none."""
        blank = np.isnan(values)
        if (empty := blank.all(1)).any():
            raise StudyError(
                f"task.path: row {reading.row(order[empty.argmax()])} of {self.path} has no value"
                " in the columns that are read"
            )
        lengths = values.shape[1] - np.argmin(blank[:, ::-1], axis=1)
        if (short := lengths < lengths.max()).any():
            reading.warnings.append(
                f"{int(short.sum()):,} rows end in empty cells, which are read as the end of their"
                f" sequences, after {lengths.min()} steps at the earliest"
            )
        return lengths

    def _filled_rows(
        self,
        reading: Reading,
        columns: Sequence[str],
        values: np.ndarray,
        inside: np.ndarray,
        order: np.ndarray,
        read: Read,
    ) -> np.ndarray:
        """Fill missing steps [N, T] from earlier ones of their row, or with means of columns."""
        gaps = ~np.isfinite(values) & inside
        if not gaps.any():
            return values
        rows, steps = np.nonzero(gaps)
        first = int(np.argmin(order[rows]))
        self._refuse_missing(reading, len(rows), order[rows[first]], columns[steps[first]])
        values = np.where(gaps, np.nan, values)
        if self.missing == "forward":
            values = forward(values.T, np.array([0])).T
            if (still := np.isnan(values) & inside).any():
                row, step = np.argwhere(still)[0]
                self._nothing_before(reading, order[row], columns[step])
            return values
        train = self._training(read)
        known = np.isfinite(values) & inside
        return np.where(gaps, self._means(columns, values[train], known[train]), values)

    # --- missing values ---------------------------------------------------------------------------

    def _refuse_missing(self, reading: Reading, count: int, row: int, column: str) -> None:
        """Refuse missing values, or warn that they are filled."""
        if self.missing == "refuse":
            where = f"row {reading.row(row)}, column {column}" if row >= 0 else f"column {column}"
            raise StudyError(
                f"task.path: {self.path} has {count} missing or infinite values, the first in"
                f" {where}; task.missing=forward or mean fills them in"
            )
        reading.warnings.append(
            f"{count:,} missing or infinite values are filled (task.missing={self.missing})"
        )

    def _nothing_before(self, reading: Reading, row: int, column: str) -> None:
        raise StudyError(
            f"task.missing: forward finds no value before row {reading.row(row)}, column {column}"
            f" of {self.path} in the same sequence; use mean"
        )

    def _means(self, columns: Sequence[str], values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Means of columns over the known values; StudyError if a column has none."""
        if not (count := known.sum(0)).all():
            raise StudyError(
                f"task.missing: column {columns[int(count.argmin())]} of {self.path} has no value"
                " in the training part; leave it out of task.features"
            )
        means: np.ndarray = np.where(known, values, 0).sum(0) / count
        return means

    # --- a row is a step --------------------------------------------------------------------------

    def _long(self, reading: Reading, found: Features, names: Mapping[str, Names]) -> Read:
        series = names.get("series", (np.zeros(reading.table.rows, np.int64), np.array([""])))
        channels, values = self._values(reading, found)
        stamps = None if reading.times is None else reading.times.stamps
        steps, timed = ordered(values, series[0], stamps), self._timed(reading, series)
        if timed is not None:
            timed.note_order(series[0])
            steps = timed(steps, forecast=self.form == "forecast")
        else:
            self._look_for_several_series(reading, found, *series)
        forecast = self.form == "forecast"
        for key in ("group", "part"):
            if key in names and not (forecast and key == "part"):
                self._check_same(reading, key, *names[key], series)
        read = None if forecast else self._examples(reading, steps, series, names)
        train = self._training_rows(steps, read, names)
        channels, steps = self._known_levels(reading, found, channels, steps, train)
        steps = self._filled(reading, channels, steps, train)
        self._warn_of_features(reading, found, channels, steps, read)
        if timed is not None and self.elapsed:
            place = len(channels) - (self.form == "forecast")
            channels.insert(place, ELAPSED)
            steps = replace(steps, values=np.insert(steps.values, place, timed.since(steps), 1))
        if self.known:
            channels, steps = self._with_known(channels, steps)
        # by column, as pandas holds them: the order in which means are added is part of ids
        pieces = np.split(np.asfortranarray(steps.values), steps.begins[1:])
        if read is None:
            read = self._windows(pieces, steps, series[1], names)
        else:
            read = replace(read, sequences=pieces)
        return replace(read, columns=channels)

    def _with_known(self, channels: list[str], steps: Steps) -> tuple[list[str], Steps]:
        """Channels with what is known of the predicted row, beside the target, the last one.

        The last rows of a series, behind which nothing is known, are never read: no window is
        without its target.
        """
        place, ends = len(channels) - 1, [*steps.begins[1:], len(steps.values)]
        ahead = np.concatenate(
            [
                np.minimum(np.arange(begin, end) + self.horizon, end - 1)
                for begin, end in zip(steps.begins, ends, strict=True)
            ]
        )
        made, numbers, rows = [], [], "row" if self.horizon == 1 else "rows"
        for name in self.known:
            own = [n for n, one in enumerate(channels[:-1]) if self._column_of(one) == name]
            if not own:
                there = dict.fromkeys(self._column_of(one) for one in channels[:-1])
                raise StudyError(
                    f"task.known: must name features that are read,"
                    f" {', '.join(map(str, there)) or 'of which there are none'}; got {name}"
                )
            made += [f"{channels[n]} in {self.horizon} {rows}" for n in own]
            numbers += own
        future = steps.values[ahead][:, numbers]
        values = np.insert(steps.values, [place] * len(made), future, axis=1)
        return [*channels[:-1], *made, channels[-1]], replace(steps, values=values)

    def _column_of(self, channel: str) -> str:
        """The column that a channel holds, or a level of which."""
        return self.levels[channel][0] if channel in self.levels else channel

    def _timed(self, reading: Reading, series: Names) -> Timed | None:
        if self.time is None or reading.times is None:
            return None
        return Timed(
            reading,
            reading.times,
            self.time,
            self.series,
            series[1],
            self.gaps,
            self.resample,
            self.elapsed,
        )

    def signature(self) -> dict[str, Any]:
        found = super().signature()
        found["output"] |= {"name": self.target}
        taken = found["input"]
        taken |= {"missing": self.missing}
        marks = (self.separator, self.style.decimal, self.style.thousands)
        if marks != (",", ".", ""):
            taken |= {"marks": dict(zip(("separator", "decimal", "thousands"), marks, strict=True))}
        if not self.ordered:
            return found | {"input": taken | {"layout": "row"}}
        taken |= {"series": self.series, "time": self.time}
        taken |= {"layout": "window" if self.form == "forecast" else "series"}
        levels = {key: self.levels[key] for key in taken["columns"] if key in self.levels}
        taken |= {"levels": levels} if levels else {}
        taken |= {"elapsed": ELAPSED} if self.elapsed else {}
        taken |= {"resample": self.resample} if self.resample else {}
        found["output"] |= {"ahead": self.horizon} if self.form == "forecast" else {}
        return found

    def _values(self, reading: Reading, found: Features) -> tuple[list[str], np.ndarray]:
        """(channels, [N, D] in the order of the file, the target last in a forecast)."""
        channels: list[str] = []
        for name in found.order:
            levels = found.levels[name][1] if name in found.levels else None
            channels += [name] if levels is None else [f"{name}={level}" for level in levels]
        channels += [self.target] if self.form == "forecast" else []
        made = [*channels, *([ELAPSED] if self.elapsed else [])]
        if len(set(made)) < len(made):
            twice = next(name for name in made if made.count(name) > 1)
            raise StudyError(
                f"task.features: two channels would be named {twice!r}; rename the column of"
                f" {self.path} or leave it out"
            )
        self.levels = {
            f"{name}={level}": [name, level]
            for name, (_, levels) in found.levels.items()
            for level in levels
        }
        values, place = np.empty((reading.table.rows, len(channels)), order="F"), 0
        for name in found.order:
            if name in found.levels:
                codes, levels = found.levels[name]
                hot = codes[:, None] == np.arange(len(levels))
                values[:, place : place + len(levels)] = np.where(codes[:, None] < 0, np.nan, hot)
                place += len(levels)
            else:
                values[:, place] = found.numbers[name]
                found.numbers[name] = values[:, place]  # not twice
                reading.table.keep(name, values[:, place])
                place += 1
        if self.form == "forecast":
            values[:, -1] = reading.target
        return channels, values

    def _look_for_several_series(
        self, reading: Reading, found: Features, codes: np.ndarray, names: np.ndarray
    ) -> None:
        """Warn if rows of several series may be read as one, or unsorted."""
        if self.series is not None:
            # an id that begins again further down may be another series
            first = np.concatenate([[True], np.diff(codes) != 0])
            again = first & (np.unique(codes, return_index=True)[1][codes] < np.arange(len(codes)))
            if again.any():
                row = int(again.argmax())
                reading.warnings.append(
                    f"rows of {len(np.unique(codes[again])):,} series lie apart in the file, in row"
                    f" {reading.row(row)} {self.series} {shown(names[codes[row]])} begins again;"
                    " they are read as one in the order of the file"
                )
            self._look_for_order(reading, found, codes)
            return
        for name, values in found.numbers.items():
            if len(values) > 2 and bool((np.diff(values) < 0).all()):
                reading.warnings.append(
                    f"column {name} falls from row to row; if it is a time, the last rows come"
                    f" first, and task.time={name} sorts them"
                )
            if told := several_series(name, values, reading.row):
                reading.warnings.append(told)
        self._look_for_order(reading, found, codes)

    def _look_for_order(self, reading: Reading, found: Features, codes: np.ndarray) -> None:
        """Warn of columns of dates that say that rows lie in another order."""
        for name in found.left_out:
            column = reading.table.columns.get(name)
            if column is None:
                continue
            falls, other = out_of_order(column, codes)
            if other is not None:
                reading.warnings.append(
                    f"column {name} holds dates, and row {reading.row(other)} has"
                    f" {reading.table.cell(name, other)!r}; it is read as a step too"
                )
            dates = times(column) if looks_like_dates(column) else None
            if dates is None or len(dates.wrong):
                if falls:
                    reading.warnings.append(f"the rows are not in the order of column {name}")
                continue
            repeated = len(dates.stamps) - len(np.unique(dates.stamps))
            if self.series is None and repeated:
                reading.warnings.append(
                    f"dates in column {name} repeat in {repeated:,} rows: several series may be"
                    " interleaved; task.series names the column that tells them apart"
                )
            elif len(back(codes, dates.stamps, np.argsort(codes, kind="stable"))):
                reading.warnings.append(
                    f"the rows are not in the order of column {name}; task.time={name} sorts them"
                )

    def _examples(
        self, reading: Reading, steps: Steps, series: Names, names: Mapping[str, Names]
    ) -> Read:
        """The examples without their sequences; target and group are one per series."""
        firsts = steps.firsts
        if reading.target is None:
            self._check_same(reading, "target", *names["target"], series)
            targets = _of_rows(names["target"], firsts)
        else:
            self._check_same(reading, "target", reading.target, None, series)
            targets = reading.target[firsts]
        groups, parts = (
            _of_rows(names[key], firsts) if key in names else None for key in ("group", "part")
        )
        labels = [f"{self.series} {shown(name)}" for name in _of_rows(series, firsts)]
        if steps.split:  # pieces of one series must stay in one part
            groups = _of_rows(series, firsts) if groups is None else groups
            labels = [
                f"{label} from row {reading.row(row)}"
                for label, row in zip(labels, firsts, strict=True)
            ]
        return self._data(targets, labels, groups, parts)

    def _check_same(
        self, reading: Reading, key: str, codes: np.ndarray, found: np.ndarray | None, series: Names
    ) -> None:
        """Refuse a target or group that differs within a series."""
        first = np.unique(series[0], return_index=True)[1][series[0]]
        differs = codes != codes[first]
        if differs.any():
            row = int(differs.argmax())
            one, other = (
                shown(codes[at] if found is None else found[codes[at]]) for at in (first[row], row)
            )
            raise StudyError(
                f"task.{key}: {getattr(self, key)} must be the same in all rows of a {self.series},"
                f" and {shown(series[1][series[0][row]])} has {one} in row"
                f" {reading.row(first[row])} and {other} in row {reading.row(row)}"
            )

    def _training_rows(
        self, steps: Steps, read: Read | None, names: Mapping[str, Names]
    ) -> np.ndarray:
        """Whether each row [N] trains; all do where nothing depends on it."""
        if read is None:
            return self._training_rows_of_forecast(steps, names)
        if self.categories is None and (
            self.missing != "mean" or bool(np.isfinite(steps.values).all())
        ):
            return np.ones(len(steps.codes), bool)
        trains = np.isin(np.arange(len(steps.begins)), self._training(read))
        return np.repeat(trains, steps.lengths)

    def _training_rows_of_forecast(self, steps: Steps, names: Mapping[str, Names]) -> np.ndarray:
        """As `windows` will split them."""
        if "part" in names:
            trains: np.ndarray = part_names(_of_rows(names["part"], steps.origin), "row") == "train"
            return trains
        if "group" in names:
            parts = split_groups(
                _of_rows(names["group"], steps.firsts),
                self.shares,
                how=self.how,
                seed=self.split_seed,
                source=Path(self.path).name,
                weights=steps.lengths,
            )
            drawn = np.isin(np.arange(len(steps.begins)), parts["train"])
            return np.repeat(drawn, steps.lengths)
        return first_rows(steps, self.shares)

    def _known_levels(
        self,
        reading: Reading,
        found: Features,
        channels: list[str],
        steps: Steps,
        train: np.ndarray,
    ) -> tuple[list[str], Steps]:
        """Drop the channels of levels that training never has: such a row has 0 in all others."""
        drop: list[str] = []
        for name, (_, levels) in found.levels.items():
            places = [channels.index(f"{name}={level}") for level in levels]
            hot = steps.values[:, places] > 0
            unknown = np.flatnonzero(~hot[train].any(0))
            if len(unknown):
                named = [levels[number] for number in unknown]
                reading.warnings.append(
                    f"column {name}: {listed(named)} ({int(hot[:, unknown].sum()):,} rows) of its"
                    f" {len(levels)} levels are in no training example; such rows have none of the"
                    " levels"
                )
                drop += [f"{name}={level}" for level in named]
        if not drop:
            return channels, steps
        kept = [place for place, channel in enumerate(channels) if channel not in drop]
        return [channels[place] for place in kept], replace(steps, values=steps.values[:, kept])

    def _filled(
        self, reading: Reading, channels: Sequence[str], steps: Steps, train: np.ndarray
    ) -> Steps:
        """Fill missing values from earlier rows of the series, or with means of training rows."""
        finite = np.isfinite(steps.values)
        if finite.all():
            return steps
        rows, columns = np.nonzero(~finite)
        first = int(np.argmin(steps.origin[rows]))
        self._refuse_missing(
            reading, len(rows), int(steps.origin[rows[first]]), channels[columns[first]]
        )
        if self.form == "forecast" and (lacking := int((~finite[:, -1]).sum())):
            reading.warnings.append(
                f"{lacking:,} of the filled values are of the target {self.target}, which is"
                " predicted and scored there as well"
            )
        values = np.where(finite, steps.values, np.nan)
        if self.missing == "forward":
            values = forward(values, steps.begins)
            if (still := np.isnan(values)).any():
                row, column = np.argwhere(still)[0]
                self._nothing_before(reading, steps.origin[row], channels[column])
        else:
            known = finite & (train[:, None] | finite.all(0))
            values = np.where(finite, values, self._means(channels, values, known))
        return replace(steps, values=values)

    def _warn_of_features(
        self,
        reading: Reading,
        found: Features,
        channels: Sequence[str],
        steps: Steps,
        read: Read | None,
    ) -> None:
        """Warn of columns that give the target away."""
        features = steps.values[:, : len(channels) - (self.form == "forecast")]
        if read is None:
            first = slice(0, steps.lengths[0])
            reading.warnings += leaks.copies_of_the_future(
                channels[:-1], features[first], steps.values[first, -1], self.window + self.horizon
            )
            return
        # of a text column all levels together
        places: dict[str, list[int]] = {}
        for place, name in enumerate(channels):
            column = name.partition("=")[0]
            places.setdefault(column if column in found.levels else name, []).append(place)
        reading.warnings += leaks.giveaways(
            list(places),
            [features[:, of] @ np.arange(1.0, len(of) + 1) for of in places.values()],
            np.repeat(self._codes(read.targets), steps.lengths),
            steps.begins,
            classes=self.kind == "classification",
        )

    # --- forecasts --------------------------------------------------------------------------------

    def _windows(
        self,
        pieces: Sequence[np.ndarray],
        steps: Steps,
        series: np.ndarray,
        names: Mapping[str, Names],
    ) -> Read:
        codes = steps.codes[steps.begins]
        labels = [f"{self.series} {shown(series[code])}, " if self.series else "" for code in codes]

        def by_series(rows: np.ndarray | None) -> list[np.ndarray] | None:
            return None if rows is None else np.split(rows, steps.begins[1:])

        return windows(
            list(zip(labels, pieces, strict=True)),
            window=self.window,
            horizon=self.horizon,
            stride=self.stride,
            season=self.season,
            shares=self.shares,
            source=Path(self.path).name,
            licence=LICENCE,
            groups=(_of_rows(names["group"], steps.firsts).tolist() if "group" in names else None),
            parts=by_series(_of_rows(names["part"], steps.origin) if "part" in names else None),
            pieces=by_series(steps.pieces),
            how=self.how,
            seed=self.split_seed,
        )


def _of_rows(names: Names, rows: np.ndarray) -> np.ndarray:
    """The names in these rows of the file."""
    return names[1][names[0][rows]]
