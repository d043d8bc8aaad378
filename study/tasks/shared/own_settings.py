"""Checks of the settings that all tasks over one's own data share."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

from study.interfaces import require

SPLITS = ("time", "stratified", "group", "file", "chronological")


def check_split(
    name: str, split: str, shares: Mapping[str, float | None], split_seed: int
) -> dict[str, float]:
    """The shares that there are, of validation and test; a ValueError names the task and key."""
    validation, test = shares["validation"], shares["test"]
    require(split in SPLITS, name, "split", "time, stratified, group or file", split)
    require(test is not None or split == "file", name, "test", "a share, or split=file", test)
    given = {key: share for key, share in shares.items() if key != "test" or share is not None}
    for key, share in given.items():
        require(
            isinstance(share, int | float) and 0 < share < 1,
            name,
            key,
            "a share above 0 and below 1",
            share,
        )
    found = {key: share for key, share in given.items() if share is not None}
    require(
        sum(found.values()) < 1,
        name,
        "test",
        f"a share below {1 - (validation or 0):g}, what validation leaves",
        test,
    )
    require(0 <= split_seed < 2**32, name, "split_seed", "at least 0 and below 2^32", split_seed)
    return found


def check_losses(
    name: str,
    kind: str,
    class_weights: Literal["balanced"] | Mapping[str, float] | None,
    quantiles: Sequence[float] | None,
) -> None:
    """A ValueError names the task and key."""
    require(
        quantiles is None
        or (
            kind == "regression"
            and len(quantiles) > 0
            and all(0 < one < 1 for one in quantiles)
            and all(one < other for one, other in itertools.pairwise(quantiles))
        ),
        name,
        "quantiles",
        "a rising list of numbers between 0 and 1, for numbers and not for classes, or null",
        quantiles if quantiles is None else list(quantiles),
    )
    require(
        class_weights is None or kind == "classification",
        name,
        "class_weights",
        "null for task.kind=regression",
        class_weights,
    )
    if isinstance(class_weights, Mapping):
        require(
            bool(class_weights) and all(weight > 0 for weight in class_weights.values()),
            name,
            "class_weights",
            "balanced, or a weight above 0 by class",
            dict(class_weights),
        )
