"""Forecasts a real series from statsmodels: yearly sunspots or weekly CO2 on Mauna Loa."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from study.interfaces import require
from study.tasks.shared.forecasting import windows
from study.tasks.shared.series import Read, Series

SOURCES = {
    "sunspots": "yearly mean sunspot numbers 1700-2008 (NOAA, by way of statsmodels)",
    "co2": (
        "weekly atmospheric CO2 at Mauna Loa 1958-2001 (Keeling and Whorf 2004, by way of"
        " statsmodels)"
    ),
}
COLUMNS = {"sunspots": "SUNACTIVITY", "co2": "co2"}  # of statsmodels' tables


class Forecast(Series):
    """Predicts the value `horizon` steps ahead from the last `window` steps.

    `season`: in steps, for the seasonal naive rule, null for none. Parts follow each other in time.
    Gaps of CO2 (59 of 2,284 weeks) are filled with the previous value. `differences`: forecast the
    changes from step to step instead. `relative`: subtract a window's last value from it and its
    target, so that a trend does not leave the range seen in training; errors keep their size.
    """

    choices = ("window", "relative")

    def __init__(
        self,
        *,
        series: Literal["sunspots", "co2"],
        window: int,
        horizon: int,
        season: int | None,
        differences: bool,
        relative: bool,
        **settings: Any,
    ) -> None:
        require(series in SOURCES, "forecast", "series", " or ".join(SOURCES), series)
        require(window >= 1, "forecast", "window", "at least 1 step", window)
        require(horizon >= 1, "forecast", "horizon", "at least 1 step", horizon)
        require(
            season is None or season >= 1, "forecast", "season", "at least 1 step, or null", season
        )
        super().__init__(kind="regression", split="time", split_seed=0, **settings)
        self.series, self.window, self.horizon, self.season, self.differences, self.relative = (
            series,
            window,
            horizon,
            season,
            differences,
            relative,
        )

    def signature(self) -> dict[str, Any]:
        found, column = super().signature(), COLUMNS[self.series]
        found["input"] |= {
            "columns": [column],
            "layout": "window",
            "series": None,
            "time": None,
            "missing": "forward",
            "differences": self.differences,
            "relative": self.relative,
        }
        found["output"] |= {
            "name": f"change of {column}" if self.differences else column,
            "ahead": self.horizon,
        }
        return found

    def read(self) -> Read:
        # imported here, since it takes a second
        from statsmodels.datasets import co2, sunspots

        values = (
            sunspots.load_pandas().data[COLUMNS[self.series]]
            if self.series == "sunspots"
            else co2.load_pandas().data[COLUMNS[self.series]].ffill()
        )
        column = values.to_numpy(np.float64)
        data = windows(
            [("", (np.diff(column) if self.differences else column)[:, None])],
            window=self.window,
            horizon=self.horizon,
            season=self.season,
            shares=self.shares,
            source=SOURCES[self.series],
            licence="public domain",
        )
        data = replace(data, levels=not (self.relative or self.differences))
        if not self.relative:
            return data
        assert isinstance(data.parts, Mapping)
        last = np.array([sequence[-1, 0] for sequence in data.sequences])
        return replace(
            data,
            sequences=[sequence - sequence[-1] for sequence in data.sequences],
            targets=data.targets - last[:, None],
            guessed={
                name: {part: values - last[data.parts[part], None] for part, values in of.items()}
                for name, of in data.guessed.items()
            },
        )
