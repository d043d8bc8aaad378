"""The examples of a table without their sequences, by which they are split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from study.records import StudyError
from study.tasks.shared.reading import Read
from study.tasks.shared.table_settings import LICENCE, TableSettings


def examples(
    settings: TableSettings,
    targets: np.ndarray,
    labels: Sequence[str],
    groups: np.ndarray | None,
    parts: np.ndarray | None,
) -> Read:
    """labels: the origin of each example [N]; targets: [N], numbers [N, O]; groups, parts: [N]."""
    if settings.form == "classification" and targets.dtype.kind in "if":
        kinds = len(np.unique(targets))
        if kinds > max(len(targets) / 2, 20):
            raise StudyError(
                f"task.target: {settings.target} has {kinds} different numbers in"
                f" {len(targets)} examples, too many for classes; task.kind=regression predicts"
                " numbers"
            )
    return Read(
        sequences=[np.empty((0, 0))] * len(labels),
        targets=targets,
        names=labels,
        source=Path(settings.path).name,
        licence=LICENCE,
        groups=groups,
        parts=parts,
    )


def codes_of(settings: TableSettings, targets: np.ndarray) -> np.ndarray:
    """Targets as numbers [N, O], classes by their place."""
    if not settings.classes:
        return targets
    return np.unique(targets, return_inverse=True)[1][:, None]
