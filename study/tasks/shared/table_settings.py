"""The settings of a table task, checked against one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from study.interfaces import require
from study.records import StudyError
from study.tasks.shared.cells import Style
from study.tasks.shared.date_formats import is_format

FORMS = ("classification", "regression", "forecast", "windows")
GAPS = ("refuse", "split", "fill", "allow")
MISSING = ("refuse", "mean", "forward")
IN_TIME = ("chronological", "time")  # splits by the order of rows
LICENCE = "the reader's own data"


@dataclass(frozen=True)
class TableSettings:
    """As the YAML of task=csv explains them.

    form: task.kind. how, shares, seed: of the split. style: how numbers are written.
    """

    path: str
    targets: tuple[str, ...]
    form: str
    series: str | None
    time: str | None
    date_format: str | None
    group: str | None
    part: str | None
    features: Sequence[str] | None
    categories: Literal["auto"] | None
    separator: str
    style: Style
    encoding: str | None
    missing: Literal["refuse", "mean", "forward"]
    gaps: Literal["refuse", "split", "fill", "allow"]
    resample: str | None
    elapsed: bool
    window: int
    horizon: int
    stride: int
    season: int | None
    known: Sequence[str]
    how: str
    shares: Mapping[str, float]
    seed: int

    @property
    def target(self) -> str:
        """The targets in a sentence."""
        return ", ".join(self.targets)

    @property
    def named(self) -> list[str]:
        """Columns of names and times, which stay text."""
        names = [self.series, self.time, self.group, self.part, *self.targets * self.classes]
        return [name for name in names if name is not None]

    @property
    def called(self) -> list[str]:
        """Each target in a sentence, by its name where there are several."""
        if len(self.targets) == 1:
            return ["the target"]
        return [f"the target {name}" for name in self.targets]

    @property
    def targets_read(self) -> int:
        """How many of the channels, the last ones, are targets: a forecast reads their past."""
        return len(self.targets) if self.forecasts else 0

    @property
    def forecasts(self) -> bool:
        return self.form == "forecast"

    @property
    def windowed(self) -> bool:
        """Whether examples are windows of rows."""
        return self.form in ("forecast", "windows")

    @property
    def classes(self) -> bool:
        """Whether the target is a class."""
        return self.form in ("classification", "windows")

    @property
    def steps(self) -> bool:
        """Whether a row is a step, not a sequence."""
        return self.series is not None or self.windowed

    def check(self) -> None:
        """StudyError for a value that is none, or that this form of table would ignore."""
        self._check_values()
        self._check_marks()
        self._check_use()
        self._check_split()
        self._check_resample()

    def _check_values(self) -> None:
        self._check_targets()
        require(self.missing in MISSING, "csv", "missing", "refuse, mean or forward", self.missing)
        require(self.gaps in GAPS, "csv", "gaps", ", ".join(GAPS), self.gaps)
        require(
            self.categories in ("auto", None), "csv", "categories", "auto or null", self.categories
        )
        require(
            self.date_format is None or is_format(self.date_format),
            "csv",
            "date_format",
            "as in %d/%m/%Y, with year and month, or null",
            self.date_format,
        )
        if self.date_format is not None and self.time is None:
            raise StudyError("task.date_format: needs task.time")
        require(isinstance(self.elapsed, bool), "csv", "elapsed", "true or false", self.elapsed)
        for key in ("window", "horizon", "stride"):
            value = getattr(self, key)
            require(value >= 1, "csv", key, "at least 1 row", value)
        require(
            self.season is None or self.season >= 1,
            "csv",
            "season",
            "at least 1 row, or null",
            self.season,
        )

    def _check_targets(self) -> None:
        require(len(self.targets) > 0, "csv", "target", "a column, or a list of columns", [])
        twice = next((name for name in self.targets if self.targets.count(name) > 1), None)
        if twice is not None:
            raise StudyError(f"task.target: names {twice!r} twice")
        if self.classes and len(self.targets) > 1:
            raise StudyError(
                f"task.target: {self.target} are several columns, which task.kind=regression and"
                " forecast predict; classes are those of one column"
            )

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
        for key, value, idle in (
            ("gaps", self.gaps, "refuse"),
            ("resample", self.resample, None),
            ("elapsed", self.elapsed, False),
        ):
            if value != idle and (self.time is None or not self.steps):
                raise StudyError(
                    f"task.{key}: needs task.time"
                    + ("" if self.steps else ", and task.series or task.kind=forecast or windows")
                )
        if self.season is not None and not self.forecasts:
            raise StudyError("task.season: is for task.kind=forecast")
        if self.stride != 1 and not self.windowed:
            raise StudyError("task.stride: is for task.kind=forecast or windows")
        if self.horizon != 1 and self.form == "windows":
            raise StudyError("task.horizon: is for task.kind=forecast; a window's class is its own")
        if self.known and not self.forecasts:
            raise StudyError("task.known: is for task.kind=forecast")

    def _check_split(self) -> None:
        """Refuse a split without its column, and columns that the split would ignore."""
        for how, key, name in (("group", "group", self.group), ("file", "part", self.part)):
            if self.how == how and name is None:
                raise StudyError(f"task.split: {how} needs task.{key}, the column that says it")
        if self.part is not None and self.how != "file":
            raise StudyError(f"task.part: needs task.split=file, got {self.how}")
        if self.part is not None and (self.resample is not None or self.gaps == "fill"):
            raise StudyError("task.part: rows of task.resample and task.gaps=fill have no part")
        if self.group is not None and self.windowed and self.series is None:
            what = "forecasts" if self.forecasts else "windows"
            raise StudyError(
                f"task.group: {what} by group need task.series, the column that tells series"
                f" apart; task.series={self.group} if a group is a series"
            )
        if self.form == "windows" and (self.resample is not None or self.gaps == "fill"):
            key = "resample" if self.resample is not None else "gaps"
            raise StudyError(
                f"task.{key}: rows that are made have no class, which task.kind=windows needs"
            )

    def _check_resample(self) -> None:
        if self.categories is not None and not self.steps:
            raise StudyError(
                "task.categories: the columns of a row are the steps of one channel, which holds"
                " numbers; categories need task.series, or task.kind=forecast or windows"
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
