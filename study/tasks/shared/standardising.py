"""Sequences and targets of a source, standardised by its training part, and what is odd there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from study.interfaces import PARTS, Batch
from study.records import StudyError
from study.tasks.shared.reading import Read
from study.tasks.shared.scaling import SAME, Scale, chunks, stacked

NAMED = 5  # channels named in one sentence
FAR = 1000  # training deviations from the mean beyond which values are reported


def check_scale(data: Read, scale: Scale, *, one_length: bool) -> None:
    """Refuse channels that cannot be scaled; one_length: whether lengths say nothing."""
    wrong = ~(np.isfinite(scale.mean) & np.isfinite(scale.deviation) & (scale.deviation > 0))
    if wrong.any():
        raise StudyError(
            f"task: {data.source}: values of {_channels(data, wrong)} are too large or"
            " too small to compute their mean and deviation; change their unit"
        )
    if scale.constant.all() and one_length:
        raise StudyError(
            f"task: {data.source}: {_channels(data, scale.constant)}: constant in"
            " training; there is nothing to learn from"
        )


def padded(
    data: Read, lengths: np.ndarray, scale: Scale, parts: Mapping[str, np.ndarray]
) -> tuple[dict[str, Tensor], list[str]]:
    """([N, T, D] of each part, standardised; warnings); padding is 0, the mean."""
    width, steps = len(scale.mean), int(lengths.max())
    x, moved = {}, {}
    for part, index in parts.items():
        x[part] = np.zeros((len(index), steps, width), np.float32)
        moved[part] = np.zeros(width, bool)
        for chunk in chunks(lengths[index], width):
            rows = stacked(data.sequences, index[chunk])
            moved[part] |= scale.moved(rows)
            if isinstance(data.sequences, np.ndarray):
                x[part][chunk] = scale(rows).reshape(len(chunk), -1, width)
                continue
            ends = np.cumsum(lengths[index[chunk]])[:-1]
            for row, scaled in zip(chunk, np.split(scale(rows), ends), strict=True):
                x[part][row, : len(scaled)] = scaled
    tensors = {part: torch.from_numpy(values) for part, values in x.items()}
    return tensors, of_constants(data, scale, moved)


def target_scale(data: Read, y: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(means [O], deviations [O]) of training targets [N, O]; StudyError if one is constant.

    names: of the targets, empty if they have none.
    """
    low, high = y.min(0), y.max(0)
    same = high - low <= SAME * np.maximum(np.abs(low), np.abs(high))
    if same.any():
        place = int(same.argmax())
        which = f"the target {names[place]}" if names else f"target {place} (from 0)"
        which = "the target" if len(same) == 1 else which
        raise StudyError(
            f"task: {data.source}: {which} is the same number in all training examples,"
            f" {low[place]:.6g}; there is nothing to predict"
        )
    return y.mean(0), y.std(0)


def of_constants(data: Read, scale: Scale, moved: Mapping[str, np.ndarray]) -> list[str]:
    """Sentences; moved: by part, the constant channels [D] that have another value there."""
    still, warnings = scale.constant.copy(), []
    for part, channels in moved.items():
        if channels.any():
            warnings.append(
                f"{_channels(data, channels)}: constant in training and not in {part};"
                " what cannot be scaled is read as 0 in all parts"
            )
            still &= ~channels
    if still.any():
        warnings.append(f"{_channels(data, still)}: constant in training, read as 0")
    return warnings


def of_far_values(data: Read, parts: Mapping[str, Batch]) -> list[str]:
    """Sentences about values that are far from those of training."""
    most, warnings = {}, []
    for part, of in parts.items():
        flat = of.x.flatten(0, 1)
        most[part] = torch.maximum(flat.amax(0), -flat.amin(0)).double().numpy()
    for part in PARTS[1:]:
        far = (most[part] > FAR) & (most[part] > 10 * most["train"])
        if far.any():
            warnings.append(
                f"{_channels(data, far)}: values in {part} lie up to"
                f" {most[part].max():.2g} training deviations from the training mean"
            )
    return warnings


def _channels(data: Read, which: np.ndarray) -> str:
    numbers = np.flatnonzero(which)
    names = [
        repr(data.columns[number]) if len(data.columns) == len(which) else str(number)
        for number in numbers[:NAMED]
    ]
    more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
    unit = "channel" if len(numbers) == 1 else "channels"
    counted = "" if len(data.columns) == len(which) else " (from 0)"
    return f"{unit} {', '.join(names)}{more}{counted}"
