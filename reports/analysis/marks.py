"""Says what marks of figures show, in words and numbers of arms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from reports.data.study import Study
from reports.figures.marks import Mark
from reports.formatting import levels


def arm_label(study: Study, arm: int) -> str:
    """The arm's levels in words."""
    labels: Mapping[int, str] = study.cached(
        "labels of arms", lambda: dict(zip(study.arms["arm"], study.arms["label"], strict=True))
    )
    return labels[arm]


def arm_mark(study: Study, arm: int, text: str) -> Mark:
    """A mark of one arm. `text`: what it shows, after the arm's name."""
    return Mark(f"{arm_label(study, int(arm))}: {text}", (int(arm),))


def arms_with(study: Study, labels: Mapping[str, object]) -> tuple[int, ...]:
    """Numbers of the arms that have these levels; settings that no factor has are passed over."""
    found: tuple[int, ...] = study.cached(
        f"arms with {sorted((str(key), str(label)) for key, label in labels.items())}",
        lambda: _arms_with(study, labels),
    )
    return found


def _arms_with(study: Study, labels: Mapping[str, object]) -> tuple[int, ...]:
    arms = study.arms
    for key, label in labels.items():
        if key in arms:
            allowed = label if isinstance(label, list | tuple) else [label]
            arms = arms[arms[key].isin([str(one) for one in allowed])]
    return tuple(int(arm) for arm in arms["arm"])


def level_mark(study: Study, labels: Mapping[str, object], text: str) -> Mark:
    """A mark of all arms with these levels."""
    return Mark(f"{levels(labels)}: {text}", arms_with(study, labels))


def point_marks(study: Study, points: pd.DataFrame, texts: Iterable[str]) -> Sequence[Mark]:
    """A mark per point. `points`: columns arm, seed and id; `texts`: what each shows."""
    return [
        Mark(f"{arm_label(study, int(arm))}, seed {seed}: {text}", (int(arm),), str(seed), str(id))
        for arm, seed, id, text in zip(
            points["arm"], points["seed"], points["id"], texts, strict=True
        )
    ]
