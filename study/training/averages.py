"""Averaged weights (Polyak & Juditsky 1992), as torch.optim.swa_utils.AveragedModel with EMA."""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import in_updates
from study.training.state import Training


def averaged(training: Training, updates_made: int) -> Tensor | None:
    """The average [M, P] after an update: the weights themselves up to `start`, at least the first.

    From there on a ← decay·a + (1 - decay)·θ. A frozen member keeps its own.
    """
    average = training.setup.average
    if average is None or training.averaged is None:
        return None
    if updates_made <= max(1, int(in_updates(average.start, training.setup.updates))):
        return training.params
    moved = torch.lerp(training.averaged, training.params, 1 - average.decay)
    for name in training.model.kept:  # statistics are those of the trained weights
        columns, _ = training.model.slices[name]
        moved[:, columns] = training.params[:, columns]
    return torch.where(training.alive[:, None], moved, training.averaged)
