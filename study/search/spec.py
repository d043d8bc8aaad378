"""The specification of a search, as plain values that are sent to worker processes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from optuna.distributions import BaseDistribution

from study.config.compose import Combination, HydraComposition, with_values
from study.config.labels import labelled
from study.interfaces import Point
from study.records import StudyError
from study.search.objectives import TrialRequest

HELD = ("updates", "validate_every", "seed")  # follow from the batch and search.examples


@dataclass(frozen=True)
class Settings:
    """Settings of conf/search/NAME.yaml, which explains them, without space and factors."""

    trials: int
    examples: int | None
    budget: str
    replicates: int
    first_seed: int
    objectives: tuple[str, ...]
    storage: str
    heartbeat: float
    retries: int
    together: int | str
    per_gpu: int
    seed: int
    objective: Mapping[str, Any]
    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any]


@dataclass(frozen=True)
class Arm:
    """One combination of the factors.

    `bases`: compositions by the levels of searched groups; `default`: default values of the
    searched keys.
    """

    name: str
    levels: Mapping[str, Any]
    study_name: str
    bases: Mapping[tuple[tuple[str, Any], ...], HydraComposition]
    default: Mapping[str, Any]
    default_inside: bool
    examples: int  # per trial
    full: int  # examples per point of the study
    between: int  # examples between two validations
    structure: str | None  # group_key of all trials; None if they differ

    @property
    def validations(self) -> int:
        """Validations per trial, without the one before the first update."""
        return max(1, round(self.examples / self.between))


def trial_name(arm: str, slot: int) -> str:
    """The name of a trial in the store and in W&B.

    It depends on the levels of its arm only, so adding or removing arms renames no trial.
    """
    return f"{hashlib.blake2b(arm.encode(), digest_size=4).hexdigest()}-{slot:04d}"


@dataclass(frozen=True)
class Spec:
    """A search, whose arms share space and budget."""

    name: str
    folder: Path  # of the study; the search is in its search/
    experiment: str | None
    settings: Settings
    space: Mapping[str, BaseDistribution]
    groups: frozenset[str]  # keys of the space that choose a level
    factors: Mapping[str, Sequence[Any]]
    arms: Sequence[Arm]
    higher_is_better: bool

    @property
    def search_folder(self) -> Path:
        return self.folder / "search"

    @property
    def seeds(self) -> list[int]:
        return list(
            range(self.settings.first_seed, self.settings.first_seed + self.settings.replicates)
        )

    @property
    def directions(self) -> list[Literal["minimize", "maximize"]]:
        better = {"score": self.higher_is_better, "health": True, "cost": False}
        return ["maximize" if better[name] else "minimize" for name in self.settings.objectives]


def compose(spec: Spec, arm: Arm, setting: Mapping[str, Any], seed: int) -> Combination:
    """Compose one setting of an arm, with the same number of examples whatever its batch."""
    base = arm.bases[tuple((key, setting[key]) for key in sorted(spec.groups))]
    values = {key: value for key, value in setting.items() if key not in spec.groups}
    batch = values.get("batch", base.config.batch)
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise StudyError(f"batch: must be a whole number of at least 1, got {batch!r}")
    accumulate = values.get("accumulate", base.config.accumulate)
    values |= held(arm.examples, arm.between, batch * accumulate) | {"seed": seed}
    combination = with_values(base, values, list(spec.factors))
    config = {**combination.config, "tracker": {}, "search": None}
    if "health" not in spec.settings.objectives:
        config["probe"] = {}
    return Combination(config=config, labels=combination.labels)


def held(examples: int, between: int, batch: int) -> dict[str, int]:
    """Updates for this many examples, and updates between validations `between` examples apart."""
    return {
        "updates": max(1, round(examples / batch)),
        "validate_every": max(1, round(between / batch)),
    }


def trial_request(spec: Spec, arm: Arm, slot: int, setting: Mapping[str, Any]) -> TrialRequest:
    """The request to run a setting, with one point per replicate."""
    name = trial_name(arm.name, slot)
    points = []
    for seed in spec.seeds:
        combination = labelled(compose(spec, arm, setting, seed), {*spec.factors, *setting})
        labels = {key: value for key, value in combination.labels.items() if key != "seed"}
        labels |= {key: value for key, value in setting.items() if key not in labels}
        points.append(
            Point(
                id=f"{name}-{seed}",
                config=combination.config,
                labels={**labels, "trial": slot},
                seed=seed,
            )
        )
    return TrialRequest(name=name, points=tuple(points), validations=arm.validations)
