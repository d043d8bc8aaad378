"""What a search is, as plain values that travel to worker processes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from optuna.distributions import BaseDistribution

from study.config.compose import Combination, HydraComposition, with_values
from study.interfaces import Point
from study.records import StudyError
from study.search.objectives import TrialRequest

HELD = ("updates", "validate_every", "seed")  # follow from the batch and the examples a trial sees


@dataclass(frozen=True)
class Settings:
    """conf/search/NAME.yaml less its space and factors; the YAML says what each is."""

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
    """One combination of the factors: `bases` by the levels that the space chooses among groups;
    `default` setting of the space's keys.
    """

    name: str
    levels: Mapping[str, Any]
    study_name: str
    bases: Mapping[tuple[tuple[str, Any], ...], HydraComposition]
    default: Mapping[str, Any]
    default_inside: bool
    examples: int  # a trial sees
    full: int  # a point of the study sees
    between: int  # two validations
    structure: str | None  # of every trial, where the space leaves it alone

    @property
    def validations(self) -> int:
        """Of a trial, the one before the first update not counted."""
        return max(1, round(self.examples / self.between))


def trial_name(arm: str, slot: int) -> str:
    """Of a trial in the store and in W&B.

    It follows from its arm's levels: further arms, or other ones, rename none.
    """
    return f"{hashlib.blake2b(arm.encode(), digest_size=4).hexdigest()}-{slot:04d}"


@dataclass(frozen=True)
class Spec:
    """A whole search: its arms share space and budget."""

    name: str
    folder: Path  # of the study; the search's is search/ in it
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
    """The configuration of one setting of an arm: as many examples and validations as every other,
    whatever the batch.
    """
    base = arm.bases[tuple((key, setting[key]) for key in sorted(spec.groups))]
    values = {key: value for key, value in setting.items() if key not in spec.groups}
    batch = values.get("batch", base.config.batch)
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise StudyError(f"batch: must be a whole number of at least 1, got {batch!r}")
    values |= held(arm.examples, arm.between, batch) | {"seed": seed}
    made = with_values(base, values, list(spec.factors))
    config = {**made.config, "tracker": {}, "search": None}
    if "health" not in spec.settings.objectives:
        config["probe"] = {}
    return Combination(config=config, labels=made.labels)


def held(examples: int, between: int, batch: int) -> dict[str, int]:
    """Updates that see this many examples, and updates between validations that lie this many
    apart.
    """
    return {
        "updates": max(1, round(examples / batch)),
        "validate_every": max(1, round(between / batch)),
    }


def trial_request(spec: Spec, arm: Arm, slot: int, setting: Mapping[str, Any]) -> TrialRequest:
    """A trial of a setting: its replicates as points of equal structure."""
    name = trial_name(arm.name, slot)
    points = []
    for seed in spec.seeds:
        made = compose(spec, arm, setting, seed)
        labels = {key: value for key, value in made.labels.items() if key != "seed"}
        labels |= {key: value for key, value in setting.items() if key not in labels}
        points.append(
            Point(
                id=f"{name}-{seed}", config=made.config, labels={**labels, "trial": slot}, seed=seed
            )
        )
    return TrialRequest(name=name, points=tuple(points), validations=arm.validations)
