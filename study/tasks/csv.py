"""Your own table, one row per step or per sequence: classification, regression or forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from study.interfaces import require
from study.records import StudyError
from study.tasks.shared import suspects
from study.tasks.shared.cells import Style, mark
from study.tasks.shared.channels import ELAPSED, Channels
from study.tasks.shared.columns import features
from study.tasks.shared.long_table import LongTable
from study.tasks.shared.series import Read, Series
from study.tasks.shared.steps import Reading
from study.tasks.shared.table_files import read_table
from study.tasks.shared.table_roles import named_roles, read_targets, read_times, roles_of
from study.tasks.shared.table_settings import FORMS, TableSettings
from study.tasks.shared.units import units_of
from study.tasks.shared.wide_table import WideTable


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
    time since the last row (dates: in seconds) is a feature too. `date_format`: how dates of `time`
    are written, such as %d/%m/%Y; null: ISO 8601, or the only such form that fits all of them.

    forecast: predicts the target `horizon` rows ahead from the last `window` rows of the features
    and the target; the last shares of the rows are validation and test, and no window crosses from
    one part into another; with `group`, whole series are drawn instead, and with `part`, rows
    belong to the part named there. `stride`: rows from the beginning of one window to that of the
    next. `season`, in rows, adds the seasonal naive rule to persistence. `known`: features whose
    value in the predicted row is an input too, such as holidays.

    windows: the class of each window of `window` rows, that of most of its rows (a tie: the later
    one), `stride` rows from one to the next, of one series and one part, as forecasts are divided.
    """

    # all that came after ids were first stored
    read_by = (
        *("group", "categories", "separator", "decimal", "thousands", "encoding"),
        *("gaps", "resample", "elapsed", "part", "stride", "known", "date_format"),
    )

    def __init__(
        self,
        *,
        path: str,
        target: str | Sequence[str],
        kind: Literal["classification", "regression", "forecast", "windows"],
        series: str | None,
        time: str | None,
        date_format: str | None,
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
        targets = (target,) if isinstance(target, str) else tuple(map(str, target))
        numbers = kind in ("regression", "forecast")
        if numbers and len(targets) > 1:
            self.target_names = targets
        super().__init__(kind="regression" if numbers else "classification", **settings)
        self.table = TableSettings(
            path=path,
            targets=targets,
            form=kind,
            series=series,
            time=time,
            date_format=date_format,
            group=group,
            part=part,
            features=[features] if isinstance(features, str) else features,
            categories=categories,
            separator=mark(str(separator)),
            style=Style(mark(str(decimal)), mark("" if thousands is None else str(thousands))),
            encoding=encoding,
            missing=missing,
            gaps=gaps,
            resample=resample,
            elapsed=elapsed,
            window=window,
            horizon=horizon,
            stride=stride,
            season=season,
            known=[] if known is None else list(known),
            how=self.how,
            shares=self.shares,
            seed=self.split_seed,
        )
        self.table.check()
        self.channels, self.units = Channels(), dict[str, str]()
        self.read_as: str | None = None  # form of dates that are no ISO 8601

    def read(self) -> Read:
        settings = self.table
        table = read_table(
            settings.path,
            separator=settings.separator,
            encoding=settings.encoding,
            style=settings.style,
            text=settings.named,
        )
        roles = roles_of(table, settings)
        reading = Reading(table, list(table.warnings))
        self.units = units_of(table, settings.style)  # before text is let go
        names = named_roles(reading, settings)
        if not settings.classes:
            reading.target = read_targets(reading, settings)
        if settings.time is not None:
            reading.times = read_times(reading, settings)
            self.read_as = reading.date_format
        found = features(
            table,
            roles,
            named=settings.features,
            categories=settings.categories is not None,
            steps=settings.steps,
            style=settings.style,
            semicolons=settings.separator == ";",
        )
        reading.warnings += found.warnings
        values = dict(found.numbers)
        if reading.target is not None:
            values |= dict(zip(settings.targets, reading.target.T, strict=True))
        reading.warnings += suspects.far_values(values)
        reading.warnings += suspects.totals(table, values, [*found.order, settings.time or ""])
        del values  # the columns, which the channels copy one by one
        reading.notes += found.notes
        if not found.order and not settings.forecasts:
            left = "; ".join(f"{name}: {why}" for name, why in found.left_out.items())
            raise StudyError(
                f"task.features: {settings.path} has no numeric column beside {settings.target}"
                f"{f' ({left})' if left else ''}; name the columns to read"
            )
        given = (settings, reading, found, names, self._training)
        if settings.steps:
            read, self.channels = LongTable(*given).read()
        else:
            read, means = WideTable(*given).read()
            self.channels = Channels(means=means)
        return replace(
            read,
            left_out=found.left_out,
            warnings=[*reading.warnings, *read.warnings],
            notes=[*reading.notes, *read.notes],
        )

    def _training(self, read: Read) -> np.ndarray:
        """The examples that will train: the split does not depend on the features."""
        return self.divide(read)["train"]

    def signature(self) -> dict[str, Any]:
        settings = self.table
        found = super().signature()
        several = len(settings.targets) > 1
        found["output"] |= (
            {"names": list(settings.targets)} if several else {"name": settings.target}
        )
        taken = found["input"]
        taken |= {"missing": settings.missing}
        marks = (settings.separator, settings.style.decimal, settings.style.thousands)
        if marks != (",", ".", ""):
            taken |= {"marks": dict(zip(("separator", "decimal", "thousands"), marks, strict=True))}
        units = {name: self.units[name] for name in taken["columns"] if name in self.units}
        means = {
            name: self.channels.means[name]
            for name in taken["columns"]
            if name in self.channels.means
        }
        more = {"encoding": settings.encoding, "units": units, "fill": means}
        taken |= {key: value for key, value in more.items() if value}
        if not settings.steps:
            return found | {"input": taken | {"layout": "row"}}
        taken |= {"series": settings.series, "time": settings.time}
        taken |= {"date_format": self.read_as} if self.read_as else {}
        taken |= {"layout": "window" if settings.windowed else "series"}
        of = self.channels
        levels = {key: of.levels[key] for key in taken["columns"] if key in of.levels}
        taken |= {"levels": levels} if levels else {}
        taken |= {"later": dict(of.later)} if of.later else {}
        taken |= {"elapsed": ELAPSED} if settings.elapsed else {}
        taken |= {"resample": settings.resample} if settings.resample else {}
        found["output"] |= {"ahead": settings.horizon} if settings.forecasts else {}
        return found
