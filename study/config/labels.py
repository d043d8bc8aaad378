"""Labels of a combination that are true of models and trainers of the user's own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from study.config.compose import Combination
from study.config.setup import set_up
from study.records import CHOICES, OWN, SIZES


def labelled(combination: Combination, factors: Collection[str] = ()) -> Combination:
    """With labels that are true of a model or a trainer of the user's own.

    A model has no cell and no readout; reports arrange networks by cell, so this label names the
    model. What a trainer does with choices and sizes that are no factors is not known.
    """
    if not {"model", "trainer"} & combination.config.keys():
        return combination
    setup = set_up(dict(combination.config))
    if setup.trainer is not None:
        unknown = {*CHOICES, *SIZES} - {"task", "updates", *factors}
        combination = replace(
            combination, labels={**combination.labels, **dict.fromkeys(unknown, OWN)}
        )
    if "model" not in combination.config:
        return combination
    own: dict[str, Any] = {"cell": combination.labels["model"], "readout": OWN}
    if "initializer" in setup.without_effect and "initializer" in factors:
        own["initializer"] = OWN
    if setup.trainer is None:
        for size, value in setup.module.sizes.items():
            if size in setup.without_effect:
                own[size] = OWN if value is None else value
    return replace(combination, labels={**combination.labels, **own})
