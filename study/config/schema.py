"""Types of the keys of conf/config.yaml, which has their defaults.

The settings of a piece are typed by its constructor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from omegaconf import MISSING

# groups that may have no level
OPTIONAL = ("search", "encoder", "block", "penalty", "schedule", "average", "model", "trainer")


@dataclass
class Weights:
    input: Any = MISSING
    readout: Any = MISSING
    forget_bias: float = MISSING


@dataclass
class Health:
    stages: list[float] = MISSING
    examples: int = MISSING
    exploding: float = MISSING
    fading: float = MISSING
    vanishing: float = MISSING
    undefined: float = MISSING
    horizon: float = MISSING
    bootstrap: int = MISSING
    stuck: float = MISSING
    blown: float = MISSING
    spike: float = MISSING
    radius_jump: float = MISSING
    radius_blown: float = MISSING
    saturation_jump: float = MISSING


@dataclass
class Stop:
    solved_checks: int | None = MISSING
    diverged: bool = MISSING


@dataclass
class Store:
    folder: str = MISSING
    weights: bool = MISSING
    checkpoint_seconds: float | None = MISSING
    lease_seconds: float = MISSING
    tracker_seconds: float = MISSING


@dataclass
class Identity:
    source: str = MISSING


@dataclass
class Average:
    """Of the weights; not a key of conf/config.yaml but a level of its group `average`."""

    decay: float = MISSING
    start: float = MISSING


@dataclass
class Confirm:
    arms: int = MISSING
    seeds: int = MISSING


@dataclass
class Certain:
    decide: str = MISSING
    method: str = MISSING
    by: str = MISSING
    delta: float = MISSING
    alpha: float = MISSING
    top: int = MISSING
    threshold: float | None = MISSING
    looks: list[int] = MISSING
    max_seeds: int = MISSING
    max_hours: float | None = MISSING
    spending: str = MISSING
    dropping: str = MISSING
    examples: bool = MISSING
    holdout: bool = MISSING
    confirm: bool = MISSING


@dataclass
class Study:
    title: str | None = MISSING
    question: str | None = MISSING
    exclude: Any = MISSING
    arms: Any = MISSING
    claims: Any = MISSING
    contrasts: Any = MISSING
    confirm: Confirm = MISSING
    certain: Certain = MISSING
    search: str | None = MISSING


@dataclass
class Root:
    name: str = MISSING
    cell: Any = MISSING
    initializer: Any = MISSING
    clip: Any = MISSING
    task: Any = MISSING
    optimizer: Any = MISSING
    readout: Any = MISSING
    executor: Any = MISSING
    probe: Any = MISSING
    tracker: Any = MISSING
    depth: int = MISSING
    hidden: int = MISSING
    batch: int = MISSING
    accumulate: int = MISSING
    updates: int = MISSING
    seed: int = MISSING
    validate_every: int = MISSING
    dropout: float = MISSING
    dtype: str = MISSING
    precision: str = MISSING
    kernel: str = MISSING
    device: str = MISSING
    plan: bool = MISSING
    reprobe: bool = MISSING
    retry: str = MISSING
    tuned: bool = MISSING
    search: Any = None  # null: a group without a level has no node
    encoder: Any = None  # likewise
    block: Any = None  # likewise
    penalty: Any = None
    model: Any = None
    trainer: Any = None
    schedule: Any = None
    average: Any = None
    weights: Weights = MISSING
    health: Health = MISSING
    stop: Stop = MISSING
    store: Store = MISSING
    identity: Identity = MISSING
    study: Study = MISSING


ROOT = {field.name for field in fields(Root)}


def missing_keys(config: Mapping[Any, Any], schema: type = Root) -> list[str]:
    """Keys of the schema that a configuration lacks, after `~key` or null for a whole node."""
    found, kinds = [], get_type_hints(schema)
    for field in fields(schema):
        kind = kinds[field.name]
        if field.name not in config:
            optional = schema is Root and field.name in OPTIONAL
            found += [] if optional else [field.name]
        elif is_dataclass(kind):
            node = config[field.name]
            if isinstance(node, Mapping):
                found += [f"{field.name}.{name}" for name in missing_keys(node, kind)]  # type: ignore[arg-type]
            else:
                found.append(field.name)
    return found
