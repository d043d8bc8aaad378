"""Windows of series, split by time, with two baselines: persistence and seasonal naive."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from study.interfaces import PARTS
from study.records import StudyError
from study.tasks.shared.series import Read


def windows(
    series: Sequence[tuple[str, np.ndarray]],
    *,
    window: int,
    horizon: int,
    season: int | None,
    shares: Mapping[str, float],
    source: str,
    licence: str,
) -> Read:
    """Every window of `window` rows, to predict the last column `horizon` rows after its end.

    `series`: (name, [rows, D], the target last). Rows are split by time, the last shares for
    validation and test; a window and its target are in the same part. Persistence predicts the
    target's last value in the window, seasonal naive its latest known value a whole number of
    seasons before the predicted one.
    """
    # the smallest number of whole seasons that is at least the horizon
    back = 0 if season is None else math.ceil(horizon / season) * season
    ahead = window + horizon - 1  # from a window's first row to the predicted one
    if back > ahead:
        raise StudyError(
            f"task.season: {season} rows do not fit task.window={window}; with"
            f" task.horizon={horizon} it must be at least {back - horizon + 1}"
        )
    sequences: list[np.ndarray] = []
    targets: list[float] = []
    names: list[str] = []
    index: dict[str, list[int]] = {part: [] for part in PARTS}
    errors: dict[str, list[float]] = {"persistence": [], "seasonal naive": []}
    for name, values, part, begin in _positions(series, ahead, shares, source):
        index[part].append(len(sequences))
        sequences.append(values[begin : begin + window])
        targets.append(values[begin + ahead, -1])
        names.append(f"{name}rows {begin} to {begin + window - 1}")
        if part == "validation":
            errors["persistence"].append((targets[-1] - values[begin + window - 1, -1]) ** 2)
            errors["seasonal naive"].append((targets[-1] - values[begin + ahead - back, -1]) ** 2)
    return Read(
        sequences=sequences,
        targets=np.array(targets),
        names=names,
        source=source,
        licence=licence,
        parts={part: np.array(found, dtype=int) for part, found in index.items()},
        split="chronological, windows",
        rules={
            name: float(np.mean(found))
            for name, found in errors.items()
            if season is not None or name == "persistence"
        },
    )


def _positions(
    series: Sequence[tuple[str, np.ndarray]], ahead: int, shares: Mapping[str, float], source: str
) -> Iterator[tuple[str, np.ndarray, str, int]]:
    """(name, values, part, first row) of every window; StudyError if a part is too short."""
    for name, values in series:
        start = 0
        for part, rows in zip(PARTS, _counts(len(values), shares), strict=True):
            if rows <= ahead:
                raise StudyError(
                    f"task: {source}: {name}{part} has {rows} rows, fewer than task.window +"
                    f" task.horizon = {ahead + 1}"
                )
            for begin in range(start, start + rows - ahead):
                yield name, values, part, begin
            start += rows


def _counts(rows: int, shares: Mapping[str, float]) -> list[int]:
    """Rows of train, validation and test."""
    later = [round(share * rows) for share in shares.values()]
    return [rows - sum(later), *later]
