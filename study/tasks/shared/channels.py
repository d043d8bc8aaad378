"""The channels of a table whose rows are steps: numbers, levels of text, what is known ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from study.records import StudyError
from study.tasks.shared.columns import Features
from study.tasks.shared.steps import Reading, Steps, listed
from study.tasks.shared.table_settings import TableSettings

ELAPSED = "elapsed"  # the channel of task.elapsed
Levels = dict[str, list[str]]  # channel of a level: its column, its text


@dataclass(frozen=True)
class Channels:
    """What is read by exports too. later: the channel whose later value a channel holds. means:
    by which missing values are filled, by channel."""

    levels: Levels = field(default_factory=dict)
    later: Mapping[str, str] = field(default_factory=dict)
    means: Mapping[str, float] = field(default_factory=dict)


def channels_of(
    settings: TableSettings, reading: Reading, found: Features
) -> tuple[list[str], Levels, np.ndarray]:
    """(channels, levels, values [N, D] in the order of the file); a forecast's targets are last."""
    channels: list[str] = []
    for name in found.order:
        levels = found.levels[name][1] if name in found.levels else None
        channels += [name] if levels is None else [f"{name}={level}" for level in levels]
    channels += settings.targets if settings.forecasts else ()
    made = [*channels, *([ELAPSED] if settings.elapsed else [])]
    if len(set(made)) < len(made):
        twice = next(name for name in made if made.count(name) > 1)
        raise StudyError(
            f"task.features: two channels would be named {twice!r}; rename the column of"
            f" {settings.path} or leave it out"
        )
    by_channel = {
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
    if settings.forecasts:
        values[:, place:] = reading.target
        reading.target = values[:, place:]
        for name, column in zip(settings.targets, reading.target.T, strict=True):
            reading.table.keep(name, column)
    return channels, by_channel, values


def without_unknown_levels(
    reading: Reading, found: Features, channels: list[str], steps: Steps, train: np.ndarray
) -> tuple[list[str], Steps]:
    """Drop the channels of levels that training never has: such a row has 0 in all others.

    train: whether a row trains [N].
    """
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


def with_known(
    settings: TableSettings, levels: Levels, channels: Sequence[str], steps: Steps
) -> tuple[list[str], Steps, dict[str, str]]:
    """Add what is known of the predicted row as channels beside the targets, the last ones.

    The last rows of a series, behind which nothing is known, are never read: no window is without
    its target. Also returns which channel each of them is later.
    """
    place, ends = len(channels) - len(settings.targets), [*steps.begins[1:], len(steps.values)]
    ahead = np.concatenate(
        [
            np.minimum(np.arange(begin, end) + settings.horizon, end - 1)
            for begin, end in zip(steps.begins, ends, strict=True)
        ]
    )
    columns = [levels[one][0] if one in levels else one for one in channels[:place]]
    made, numbers, rows = [], [], "row" if settings.horizon == 1 else "rows"
    for name in settings.known:
        own = [number for number, column in enumerate(columns) if column == name]
        if not own:
            raise StudyError(
                "task.known: must name features that are read,"
                f" {', '.join(dict.fromkeys(columns)) or 'of which there are none'}; got {name}"
            )
        made += [f"{channels[number]} in {settings.horizon} {rows}" for number in own]
        numbers += own
    future = steps.values[ahead][:, numbers]
    values = np.insert(steps.values, [place] * len(made), future, axis=1)
    later = {name: channels[number] for name, number in zip(made, numbers, strict=True)}
    return [*channels[:place], *made, *channels[place:]], replace(steps, values=values), later
