"""Types of the root keys. Defaults stand in conf/config.yaml, types of a piece's settings in its constructor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING


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
    updates: int = MISSING
    seed: int = MISSING
    validate_every: int = MISSING
    dropout: float = MISSING
    dtype: str = MISSING
    kernel: str = MISSING
    device: str = MISSING
    plan: bool = MISSING
    weights: Any = MISSING
    health: Any = MISSING
    store: Any = MISSING
    study: Any = MISSING
