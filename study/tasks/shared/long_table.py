"""Tables whose rows are steps: of sequences with a name, or of series to forecast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from study.records import StudyError
from study.tasks.shared import leaks
from study.tasks.shared.channels import (
    ELAPSED,
    Channels,
    channels_of,
    with_known,
    without_unknown_levels,
)
from study.tasks.shared.columns import Features
from study.tasks.shared.forecasting import windows
from study.tasks.shared.missing_values import Filling
from study.tasks.shared.reading import Read, part_names
from study.tasks.shared.row_order import warn_of_order
from study.tasks.shared.splitting import split_groups
from study.tasks.shared.steps import Reading, Steps, Timed, first_rows, ordered, shown
from study.tasks.shared.table_examples import codes_of, examples
from study.tasks.shared.table_roles import Names, of_rows
from study.tasks.shared.table_settings import LICENCE, TableSettings
from study.tasks.shared.window_classes import class_windows


@dataclass(frozen=True)
class LongTable:
    """found: the features; names: of target, series, group, part; training: finds who trains."""

    settings: TableSettings
    reading: Reading
    found: Features
    names: Mapping[str, Names]
    training: Callable[[Read], np.ndarray]

    def read(self) -> tuple[Read, Channels]:
        """The examples and their sequences, or the windows; what the channels hold."""
        settings, reading, names = self.settings, self.reading, self.names
        windowed = settings.windowed
        series = names.get("series", (np.zeros(reading.table.rows, np.int64), np.array([""])))
        channels, levels, values = channels_of(settings, reading, self.found)
        stamps = None if reading.times is None else reading.times.stamps
        steps, timed = ordered(values, series[0], stamps), self._timed(series)
        if timed is not None:
            timed.note_order(series[0])
            steps = timed(steps, forecast=windowed)
        else:
            warn_of_order(settings, reading, self.found, *series)
        for key in ("group", "part"):
            if key in names and not (windowed and key == "part"):
                self._check_same(key, *names[key], series)
        read = None if windowed else self._examples(steps, series)
        train = self._training_rows(steps, read)
        channels, steps = without_unknown_levels(reading, self.found, channels, steps, train)
        filling = Filling(reading, settings.path, settings.missing)
        steps = self._filled(filling, channels, steps, train)
        self._warn_of_features(channels, steps, read)
        if timed is not None and settings.elapsed:
            place = len(channels) - settings.targets_read
            channels.insert(place, ELAPSED)
            steps = replace(steps, values=np.insert(steps.values, place, timed.since(steps), 1))
        later: dict[str, str] = {}
        if settings.known:
            channels, steps, later = with_known(settings, levels, channels, steps)
        # by column, as pandas holds them: the order in which means are added is part of ids
        pieces = np.split(np.asfortranarray(steps.values), steps.begins[1:])
        if read is None:
            read = self._windows(pieces, steps, series[1])
        else:
            read = replace(read, sequences=pieces)
        return replace(read, columns=channels), Channels(levels, later, filling.means)

    def _timed(self, series: Names) -> Timed | None:
        settings, reading = self.settings, self.reading
        if settings.time is None or reading.times is None:
            return None
        return Timed(
            reading,
            reading.times,
            settings.time,
            settings.series,
            series[1],
            settings.gaps,
            settings.resample,
            settings.elapsed,
        )

    # --- sequences --------------------------------------------------------------------------------

    def _examples(self, steps: Steps, series: Names) -> Read:
        """The examples without their sequences; target and group are one per series."""
        settings, reading, names = self.settings, self.reading, self.names
        firsts = steps.firsts
        if reading.target is None:
            self._check_same("target", *names["target"], series)
            targets = of_rows(names["target"], firsts)
        else:
            for name, numbers in zip(settings.targets, reading.target.T, strict=True):
                self._check_same("target", numbers, None, series, name)
            targets = reading.target[firsts]
        groups, parts = (
            of_rows(names[key], firsts) if key in names else None for key in ("group", "part")
        )
        labels = [f"{settings.series} {shown(name)}" for name in of_rows(series, firsts)]
        if steps.split:  # pieces of one series must stay in one part
            groups = of_rows(series, firsts) if groups is None else groups
            labels = [
                f"{label} from row {reading.row(row)}"
                for label, row in zip(labels, firsts, strict=True)
            ]
        return examples(settings, targets, labels, groups, parts)

    def _check_same(
        self,
        key: str,
        codes: np.ndarray,
        found: np.ndarray | None,
        series: Names,
        name: str | None = None,
    ) -> None:
        """Refuse a target or group that differs within a series."""
        settings, reading = self.settings, self.reading
        first = np.unique(series[0], return_index=True)[1][series[0]]
        differs = codes != codes[first]
        if differs.any():
            row = int(differs.argmax())
            one, other = (
                shown(codes[at] if found is None else found[codes[at]]) for at in (first[row], row)
            )
            instead = ""
            if key == "target" and settings.form == "classification":
                instead = "; task.kind=windows classifies windows of rows"
            raise StudyError(
                f"task.{key}: {name or getattr(settings, key)} must be the same in all rows of a"
                f" {settings.series}, and {shown(series[1][series[0][row]])} has {one} in row"
                f" {reading.row(first[row])} and {other} in row {reading.row(row)}{instead}"
            )

    # --- values -----------------------------------------------------------------------------------

    def _training_rows(self, steps: Steps, read: Read | None) -> np.ndarray:
        """Whether each row [N] trains; all do where nothing depends on it."""
        if read is None:
            return self._training_rows_of_windows(steps)
        if self.settings.categories is None and self.settings.missing != "mean":
            return np.ones(len(steps.codes), bool)
        trains = np.isin(np.arange(len(steps.begins)), self.training(read))
        return np.repeat(trains, steps.lengths)

    def _training_rows_of_windows(self, steps: Steps) -> np.ndarray:
        """As `spans_of` will divide them."""
        settings, names = self.settings, self.names
        if "part" in names:
            trains: np.ndarray = part_names(of_rows(names["part"], steps.origin), "row") == "train"
            return trains
        if "group" in names:
            parts = split_groups(
                of_rows(names["group"], steps.firsts),
                settings.shares,
                how=settings.how,
                seed=settings.seed,
                source=Path(settings.path).name,
                weights=steps.lengths,
            )
            drawn = np.isin(np.arange(len(steps.begins)), parts["train"])
            return np.repeat(drawn, steps.lengths)
        return first_rows(steps, settings.shares)

    def _filled(
        self, filling: Filling, channels: Sequence[str], steps: Steps, train: np.ndarray
    ) -> Steps:
        settings, reading = self.settings, self.reading
        targets = steps.values.T[len(channels) - settings.targets_read :]
        # before they are filled in place
        lacking = [int((~np.isfinite(column)).sum()) for column in targets]
        values = filling.steps(channels, steps.values, steps.begins, steps.origin, train)
        for name, count in zip(settings.targets, lacking, strict=False):
            if count:
                reading.warnings.append(
                    f"{count:,} of the filled values are of the target {name},"
                    " which is predicted and scored there as well"
                )
        return replace(steps, values=values)

    def _warn_of_features(self, channels: Sequence[str], steps: Steps, read: Read | None) -> None:
        """Warn of columns that give the target away."""
        settings, reading = self.settings, self.reading
        features = steps.values[:, : len(channels) - settings.targets_read]
        if settings.forecasts:
            first = steps.values[: steps.lengths[0]]
            for place, called in enumerate(settings.called, features.shape[1]):
                others = [n for n in range(len(channels)) if n != place]
                reading.warnings += leaks.copies_of_the_future(
                    [channels[n] for n in others],
                    first[:, :place] if place == len(channels) - 1 else first[:, others],
                    first[:, place],
                    settings.window + settings.horizon,
                    called,
                )
            return
        # of a text column all levels together
        places: dict[str, list[int]] = {}
        for place, name in enumerate(channels):
            column = name.partition("=")[0]
            places.setdefault(column if column in self.found.levels else name, []).append(place)
        columns = [features[:, of] @ np.arange(1.0, len(of) + 1) for of in places.values()]
        if read is None:  # a class of each row
            targets, begins = (
                self.names["target"][0][steps.origin][:, None],
                np.arange(len(features)),
            )
        else:
            targets, begins = codes_of(settings, read.targets), steps.begins
            targets = np.repeat(targets, steps.lengths, axis=0)
        for target, called in zip(targets.T, settings.called, strict=True):
            reading.warnings += leaks.giveaways(
                list(places), columns, target, begins, classes=settings.classes, called=called
            )

    # --- windows ----------------------------------------------------------------------------------

    def _windows(self, pieces: Sequence[np.ndarray], steps: Steps, series: np.ndarray) -> Read:
        settings, names = self.settings, self.names
        labels = [
            f"{settings.series} {shown(series[code])}, " if settings.series else ""
            for code in steps.codes[steps.begins]
        ]

        def by_series(rows: np.ndarray | None) -> list[np.ndarray] | None:
            return None if rows is None else np.split(rows, steps.begins[1:])

        given = list(zip(labels, pieces, strict=True))
        common: dict[str, Any] = {
            "window": settings.window,
            "stride": settings.stride,
            "shares": settings.shares,
            "source": Path(settings.path).name,
            "licence": LICENCE,
            "groups": of_rows(names["group"], steps.firsts).tolist() if "group" in names else None,
            "parts": by_series(of_rows(names["part"], steps.origin) if "part" in names else None),
            "pieces": by_series(steps.pieces),
            "how": settings.how,
            "seed": settings.seed,
        }
        if not settings.forecasts:
            codes, found = names["target"]
            return class_windows(given, by_series(codes[steps.origin]) or [], found, **common)
        return windows(
            given,
            horizon=settings.horizon,
            outputs=len(settings.targets),
            season=settings.season,
            **common,
        )
