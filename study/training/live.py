"""Rows of points in training, for trackers that show a run before its point is stored.

Rows are collected every few seconds, at updates that a finished history shows as well; nothing is
fetched from the device in between. A training that is shorter sends nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from study.interfaces import Point
from study.numerics.stages import probed, spread
from study.training.state import Training

SECONDS = 5.0  # before the first message, and between two
HEALTH = ("D", "U")

Row = dict[str, Any]
OnRows = Callable[[Mapping[str, list[Row]]], None]
"""on_rows({id: rows as Tracker.update receives them}): called every few seconds."""


def rows_shown(config: Mapping[str, Any]) -> int | bool | None:
    """The most evenly spread rows that a point's trackers ask for (`rows`), None for all of them;
    False if none asks.
    """
    asked = [node["rows"] for node in (config.get("tracker") or {}).values() if "rows" in node]
    return False if not asked else None if None in asked else max(asked)


class LiveGroup:
    """The rows of a group in training. Call it before each update: rows before that are complete.

    A restored training sends its rows from the first one on; those of earlier launches have no
    time.
    """

    def __init__(self, training: Training, on_rows: OnRows) -> None:
        self.training, self.on_rows = training, on_rows
        config, setup = training.points[0].config, training.setup
        most = rows_shown(config)
        self.on = most is not False
        validated = {*range(0, setup.updates + 1, setup.validate_every), setup.updates}
        chosen = spread(setup.updates + 1, most or None) if self.on else set()
        self.chosen = sorted({*chosen, *validated, *probed(config)}) if self.on else []
        self.at = self.sent = 0  # entries of `chosen`, and updates, that were sent
        self.times: dict[int, float] = {}
        self.last = time.monotonic()
        self.diverged: set[str] = set()  # whose last row was sent

    def __call__(self, update: int) -> None:
        if not self.on or update >= self.training.setup.updates:
            return  # the whole history is stored in a moment
        self.times[update - 1] = time.time()
        if time.monotonic() - self.last >= SECONDS:
            self.send(update)
            self.last = time.monotonic()

    def send(self, update: int) -> None:
        """Send the rows before `update` that are new."""
        training, first = self.training, self.at
        while self.at < len(self.chosen) and self.chosen[self.at] < update:
            self.at += 1
        members = training.points[: training.distinct]
        ends = [int(at) if at >= 0 else update for at in training.diverged_at.tolist()]
        ending = {
            end
            for point, end in zip(members, ends, strict=False)
            if end < update and point.id not in self.diverged
        }
        new = sorted({*self.chosen[first : self.at], *(at for at in ending if at >= self.sent)})
        columns = self._columns(new)
        found: dict[str, list[Row]] = {}
        for member, (point, end) in enumerate(zip(members, ends, strict=False)):
            if point.id in self.diverged:
                continue
            health = self._health(member)
            rows = [self._row(columns, health, at, member) for at in new if at <= end]
            if end < update:
                self.diverged.add(point.id)
                if rows:
                    rows[-1]["diverged"] = True
            found[point.id] = rows
        self.sent, self.times = update, {}
        self.on_rows({id: rows for id, rows in found.items() if rows})

    def _columns(self, updates: Sequence[int]) -> dict[str, dict[int, list[float]]]:
        """{column of a history: {update: values [M]}}."""
        training = self.training
        per_update = {
            "loss": training.losses,
            "grad_norm": training.norms,
            "clip_scale": training.scales,
            "clip_cosine": training.cosines,
            "factor": training.factors,
        }
        columns = {}
        for name, values in per_update.items():
            at = [update for update in updates if update < len(values)]
            stacked = torch.stack([values[update] for update in at]).double().tolist() if at else []
            columns[name] = dict(zip(at, stacked, strict=True))
        wanted = set(updates)
        validations = [each for each in training.validations if each[0] in wanted]
        columns["val_loss"] = {at: loss.double().tolist() for at, loss, _ in validations}
        columns["val_score"] = {at: score.double().tolist() for at, _, score in validations}
        return columns

    def _health(self, member: int) -> dict[int, list[Row]]:
        """{update: [{layer, D, U}, …]} of what was measured since the last message."""
        training, found = self.training, dict[int, list[Row]]()
        sources = ((training.measured, member), (training.measured_alone[member], 0))
        for measured, place in sources:
            for each in measured:
                if each.states and each.update >= self.sent:
                    found[each.update] = [
                        {"layer": layer, **{name: float(rows[place][name]) for name in HEALTH}}
                        for layer, rows in each.states.items()
                    ]
        return found

    def _row(
        self,
        columns: Mapping[str, Mapping[int, Sequence[float]]],
        health: Mapping[int, list[Row]],
        update: int,
        member: int,
    ) -> Row:
        row: Row = {"update": update}
        if update in self.times:
            row["time"] = self.times[update]
        for name, values in columns.items():
            if update in values and not math.isnan(value := values[update][member]):
                row[name] = value
        rate = self.training.points[member].config["optimizer"].get("lr")
        factor = row.pop("factor", None)
        if factor is not None and rate is not None:
            row["lr"] = float(rate) * factor
        if update in health:
            row["states"] = health[update]
        return row


class LiveLog:
    """The rows that a trainer of the user's own logs. Call it with all rows of a point; the last
    one may still grow. `states()`: rows of states.parquet measured so far.
    """

    NAMES: Mapping[str, str] = {"train_loss": "loss"}

    def __init__(
        self, point: Point, on_rows: OnRows, states: Callable[[], Iterable[Mapping[str, Any]]]
    ) -> None:
        self.id, self.on_rows, self.states = point.id, on_rows, states
        most = rows_shown(point.config)
        self.on = most is not False
        self.every = point.updates / (most - 1) if most else 0.0
        self.due, self.seen, self.sent, self.last = 0.0, -1, -1, time.monotonic()
        self.waiting: dict[int, Row] = {}

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not self.on:
            return
        for row in self._complete(rows):
            self.waiting[row["update"]] = row
        if time.monotonic() - self.last < SECONDS:
            return
        for each in self.states():
            if self.sent < (at := int(each["update"])) <= self.seen:
                row = self.waiting.setdefault(at, {"update": at})
                health = {name: float(each[name]) for name in HEALTH}
                row.setdefault("states", []).append({"layer": each["layer"], **health})
        if self.waiting:
            self.on_rows({self.id: [self.waiting[at] for at in sorted(self.waiting)]})
        self.waiting, self.sent, self.last = {}, self.seen, time.monotonic()

    def _complete(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
        """New rows but the last, thinned out; those of validations stay."""
        fresh: list[Mapping[str, Any]] = []
        for row in reversed(rows[:-1]):
            if row["update"] <= self.seen:
                break
            fresh.append(row)
        now = {"time": time.time()} if len(fresh) == 1 else {}  # else of an earlier launch
        for row in reversed(fresh):
            self.seen = int(row["update"])
            if self.seen >= self.due or {"val_loss", "val_score"} & row.keys():
                self.due = max(self.due, self.seen + self.every)
                known = {name: value for name, value in row.items() if not math.isnan(value)}
                yield now | {self.NAMES.get(name, name): value for name, value in known.items()}
