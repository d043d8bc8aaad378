"""Windows of series, split by time, by group or by row, with persistence and seasonal naive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from study.interfaces import PARTS
from study.records import StudyError
from study.tasks.shared.reading import Read
from study.tasks.shared.stretches import cut, spans_of
from study.tasks.shared.windows import Spans


def windows(
    series: Sequence[tuple[str, np.ndarray]],
    *,
    window: int,
    horizon: int,
    season: int | None,
    shares: Mapping[str, float],
    source: str,
    licence: str,
    stride: int = 1,
    outputs: int = 1,
    groups: Sequence[object] | None = None,
    parts: Sequence[np.ndarray] | None = None,
    pieces: Sequence[np.ndarray] | None = None,
    how: str = "time",
    seed: int = 0,
) -> Read:
    """Every `stride`-th window of `window` rows, to predict `horizon` rows ahead.

    `series`: (name, [rows, D], the `outputs` targets last), divided as `spans_of` says. Windows
    whose copies would be large are views.
    Persistence predicts a target's last value in the window, seasonal naive its latest known
    value a whole number of seasons before the predicted one.
    """
    # the smallest number of whole seasons that is at least the horizon
    back = 0 if season is None else math.ceil(horizon / season) * season
    ahead = window + horizon - 1  # from a window's first row to the predicted one
    if back > ahead:
        raise StudyError(
            f"task.season: {season} rows do not fit task.window={window}; with"
            f" task.horizon={horizon} it must be at least {back - horizon + 1}"
        )
    spans, split, warnings = spans_of(
        series,
        window=window,
        ahead=ahead,
        stride=stride,
        outputs=outputs,
        shares=shares,
        source=source,
        groups=groups,
        parts=parts,
        pieces=pieces,
        how=how,
        seed=seed,
        least="task.window + task.horizon",
    )
    large = spans.too_many_to_copy()
    validation = spans.positions("validation", spans.evaluated("validation") if large else None)
    asked = spans.values(validation, ahead)
    rules = {"persistence": window - 1} | ({"seasonal naive": ahead - back} if season else {})
    train = spans.positions("train")
    moves = spans.values(train, ahead) - spans.values(train, ahead - (season or 1))
    places = {part: _in_order(spans, part, large) for part in PARTS[:2]}
    return _read(
        spans,
        large,
        source=source,
        licence=licence,
        split=split,
        warnings=warnings,
        rules={
            name: _by_target((asked - spans.values(validation, after)) ** 2)
            for name, after in rules.items()
        },
        guessed={
            name: {part: spans.values(own, after) for part, own in places.items()}
            for name, after in rules.items()
        },
        naive=_by_target(np.abs(moves)),
    )


def _by_target(errors: np.ndarray) -> np.ndarray:
    """Means [O] of errors [N, O], each added by itself: the order is part of stored numbers."""
    return np.array([np.ascontiguousarray(column).mean() for column in errors.T])


def _in_order(spans: Spans, part: str, large: bool) -> np.ndarray:
    """Positions of a part's windows in the order of its examples."""
    if large:
        return spans.positions(part, spans.evaluated(part))
    found = spans.positions(part)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


def _read(spans: Spans, large: bool, **described: object) -> Read:
    """The windows as views of their rows, copied when they are padded, or never if `large`."""
    if large:
        return Read(
            sequences=(),
            targets=np.empty(0),
            names=(),
            windows=spans,
            **described,  # type: ignore[arg-type]
        )
    sequences, firsts, names, places = cut(spans)
    targets = [
        spans.series[number][starts + spans.ahead, -spans.outputs :] for number, starts in firsts
    ]
    return Read(
        sequences=sequences,
        targets=np.concatenate(targets),
        names=names,
        parts=places,
        **described,  # type: ignore[arg-type]
    )
