"""Your own table, one row per step or per sequence: classification, regression or forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from study.interfaces import require
from study.records import StudyError
from study.tasks.shared.forecasting import windows
from study.tasks.shared.series import Read, Series

FORMS = ("classification", "regression", "forecast")


class Csv(Series):
    """`path`: a CSV file with a header. `target`: the column to predict.

    With `series`, rows with the same value in that column are one sequence, in the order of `time`
    if given, else of the file; the target must be the same in all of them. Without it, each row is
    a sequence and its columns are the steps. `features`: columns to read, null for all numeric ones
    except these three.

    forecast: predicts the target `horizon` rows ahead from the last `window` rows of the features
    and the target; the last shares of the rows are validation and test, and no window crosses from
    one part into another. `season`, in rows, adds the seasonal naive rule to persistence.
    `missing`: refuse | mean (of the column's training rows) | forward (the previous value).
    """

    def __init__(
        self,
        *,
        path: str,
        target: str,
        kind: Literal["classification", "regression", "forecast"],
        series: str | None,
        time: str | None,
        features: Sequence[str] | None,
        missing: Literal["refuse", "mean", "forward"],
        window: int,
        horizon: int,
        season: int | None,
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
        require(window >= 1, "csv", "window", "at least 1 row", window)
        require(horizon >= 1, "csv", "horizon", "at least 1 row", horizon)
        require(season is None or season >= 1, "csv", "season", "at least 1 row, or null", season)
        super().__init__(kind="regression" if kind == "forecast" else kind, **settings)
        self.form: str = kind
        self.path, self.target, self.series, self.time, self.features, self.missing = (
            path,
            target,
            series,
            time,
            features,
            missing,
        )
        self.window, self.horizon, self.season = window, horizon, season

    def read(self) -> Read:
        frame = self._frame()
        columns = self._columns(frame)
        named = [*columns, *([self.target] if self.form == "forecast" else [])]
        return replace(self._sequences(frame, columns), columns=named)

    def _sequences(self, frame: pd.DataFrame, columns: list[str]) -> Read:
        frame = self._filled(
            frame, [*columns, *([self.target] if self.form != "classification" else [])]
        )
        if self.form == "forecast":
            return self._windows(frame, columns)
        if self.series is None:
            sequences = [row[:, None] for row in frame[columns].to_numpy(np.float64)]
            return self._data(
                sequences,
                frame[self.target].to_numpy(),
                [f"row {number}" for number in _rows(frame)],
            )
        sequences, targets, names = [], [], []
        for name, rows in frame.groupby(self.series, sort=False):
            found = rows[self.target].unique()
            if len(found) > 1:
                raise StudyError(
                    f"task.target: {self.target} must be the same in all rows of a {self.series},"
                    f" and {name!r} has {found[0]!r} and {found[1]!r}"
                )
            rows = self._in_time(rows)
            sequences.append(rows[columns].to_numpy(np.float64))
            targets.append(found[0])
            names.append(f"{self.series} {name!r}")
        return self._data(sequences, np.array(targets), names)

    def _data(
        self, sequences: Sequence[np.ndarray], targets: np.ndarray, names: Sequence[str]
    ) -> Read:
        return Read(
            sequences=sequences,
            targets=targets,
            names=names,
            source=Path(self.path).name,
            licence="the reader's own data",
        )

    def _frame(self) -> pd.DataFrame:
        try:
            frame = pd.read_csv(self.path, skipinitialspace=True)
        except FileNotFoundError as error:
            raise StudyError(f"task.path: there is no file {self.path}") from error
        except UnicodeDecodeError as error:
            raise StudyError(
                f"task.path: {self.path} is not UTF-8 text ({_undecodable(Path(self.path))}); save"
                " it as UTF-8"
            ) from error
        except (OSError, ValueError) as error:  # pandas names the line of a ragged row
            raise StudyError(
                f"task.path: {self.path} cannot be read as CSV ({str(error).strip()})"
            ) from error
        if frame.empty:
            raise StudyError(f"task.path: {self.path} has a header and no rows")
        for key, name in (("target", self.target), ("series", self.series), ("time", self.time)):
            if name is not None and name not in frame:
                raise StudyError(
                    f"task.{key}: {self.path} has no column {name!r}; it has"
                    f" {', '.join(map(str, frame.columns))}"
                )
        if self.form == "classification" and frame[self.target].isna().any():
            raise StudyError(
                f"task.target: {self.target} is missing in row"
                f" {_rows(frame)[int(frame[self.target].isna().argmax())]} of {self.path}"
            )
        if self.time is not None and (wrong := _sortable_times(frame[self.time]).isna()).any():
            row = int(wrong.argmax())
            raise StudyError(
                f"task.time: column {self.time} of {self.path} must hold numbers or dates as"
                f" 2024-01-31; row {_rows(frame)[row]} has {frame[self.time].iloc[row]!r}"
            )
        return frame

    def _in_time(self, rows: pd.DataFrame) -> pd.DataFrame:
        return (
            rows
            if self.time is None
            else rows.sort_values(self.time, kind="stable", key=_sortable_times)
        )

    def _columns(self, frame: pd.DataFrame) -> list[str]:
        if self.features is not None:
            columns = list(self.features)
            for name in columns:
                if name not in frame:
                    raise StudyError(
                        f"task.features: {self.path} has no column {name!r}; it has"
                        f" {', '.join(map(str, frame.columns))}"
                    )
        else:
            named = (self.target, self.series, self.time)
            columns = [
                name for name in frame.columns if name not in named and _numeric(frame[name])
            ]
        if not columns and self.form != "forecast":
            raise StudyError(
                f"task.features: {self.path} has no numeric column beside {self.target}; name the"
                " columns to read"
            )
        for name in [*columns, *([self.target] if self.form != "classification" else [])]:
            if not pd.api.types.is_numeric_dtype(frame[name]):
                text = pd.to_numeric(frame[name], errors="coerce").isna() & frame[name].notna()
                row = int(text.argmax())
                or_name = (
                    ""
                    if self.features is not None or name == self.target
                    else "; or name the columns to read with task.features"
                )
                raise StudyError(
                    f"task.path: column {name} of {self.path} must hold numbers; row"
                    f" {_rows(frame)[row]} has {frame[name].iloc[row]!r}{or_name}"
                )
        return columns

    def _filled(self, frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
        """Fill gaps from earlier rows, in the order of `time`, or with means over training rows."""
        ordered = self._in_time(frame)
        values = ordered[list(columns)].replace([np.inf, -np.inf], np.nan)
        gaps = values.isna()
        if not gaps.to_numpy().any():
            return frame
        row, column = (int(place) for place in np.argwhere(gaps.to_numpy())[0])
        where = f"row {_rows(ordered)[row]}, column {columns[column]}"
        if self.missing == "refuse":
            count = int(gaps.to_numpy().sum())
            raise StudyError(
                f"task.path: {self.path} has {count} missing or infinite values, the first in"
                f" {where}; task.missing=forward or mean fills them in"
            )
        if self.missing == "forward":
            filled = (
                values.ffill()
                if self.series is None
                else values.groupby(ordered[self.series], sort=False).ffill()
            )
            if filled.isna().to_numpy().any():
                raise StudyError(
                    f"task.missing: forward finds no value before {where} of {self.path}; use mean"
                )
        else:
            if self.form != "forecast" and self.how != "chronological":
                raise StudyError(
                    "task.missing: mean needs to know which rows train; it works with"
                    " task.split=chronological and for forecasts"
                )
            if self.series is not None:
                raise StudyError(
                    "task.missing: mean is for tables of one series; use forward where task.series"
                    " is given"
                )
            train = len(frame) - sum(round(share * len(frame)) for share in self.shares.values())
            filled = values.fillna(values.iloc[:train].mean())
        return frame.assign(**{name: filled[name] for name in columns})

    def signature(self) -> dict[str, Any]:
        found = super().signature()
        found["output"] |= {"name": self.target}
        if self.form != "forecast" and self.series is None:
            found["input"] |= {"layout": "row"}
            return found
        found["input"] |= {"series": self.series, "time": self.time, "missing": self.missing}
        found["input"] |= {"layout": "window" if self.form == "forecast" else "series"}
        found["output"] |= {"ahead": self.horizon} if self.form == "forecast" else {}
        return found

    def _windows(self, frame: pd.DataFrame, columns: Sequence[str]) -> Read:
        names = [*columns, self.target]
        groups = (
            [("", frame)]
            if self.series is None
            else [
                (f"{self.series} {name!r}, ", rows)
                for name, rows in frame.groupby(self.series, sort=False)
            ]
        )
        return windows(
            [(name, self._in_time(rows)[names].to_numpy(np.float64)) for name, rows in groups],
            window=self.window,
            horizon=self.horizon,
            season=self.season,
            shares=self.shares,
            source=Path(self.path).name,
            licence="the reader's own data",
        )


def _numeric(column: pd.Series) -> bool:
    """Whether most values of a column are numbers, so that a typo is reported, not skipped."""
    if pd.api.types.is_numeric_dtype(column):
        return not pd.api.types.is_bool_dtype(column)
    return bool(pd.to_numeric(column, errors="coerce").notna().sum() > column.notna().sum() / 2)


def _sortable_times(column: pd.Series) -> pd.Series:
    """Times in a form that sorts correctly: numbers, or ISO 8601 dates."""
    return (
        column
        if pd.api.types.is_numeric_dtype(column)
        else pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
    )


def _undecodable(path: Path) -> str:
    """Where a file is not UTF-8; pandas reports a position within a chunk only."""
    data = path.read_bytes()
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return f"line {line}, byte {error.start - data.rfind(bytes([10]), 0, error.start)}"
    return "somewhere"


def _rows(frame: pd.DataFrame) -> list[int]:
    """Line numbers in the file; the header is line 1."""
    return [int(row) + 2 for row in frame.index]
