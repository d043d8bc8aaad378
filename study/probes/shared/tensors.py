"""Shared by probes with one number per tensor: norms, and quantities with a layer axis."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from study.health.lags import norm
from study.interfaces import Params


def norms(tensors: Params) -> dict[str, Tensor]:
    """Euclidean norms [M] by name."""
    return {name: norm(value.flatten(1)) for name, value in tensors.items()}


def by_tensor(quantity: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """{"layer1.weight_h": [M], …} -> {"QUANTITY weight_h": [M, layers], …}; readouts keep [M]."""
    layered: dict[str, list[Tensor]] = {}
    single: dict[str, Tensor] = {}
    for name, value in values.items():
        part, _, tensor = name.partition(".")
        if re.fullmatch(r"layer\d+", part) and tensor:
            layered.setdefault(f"{quantity} {tensor}", []).append(value)  # layers come in order
        else:
            single[f"{quantity} {name}"] = value
    return {name: torch.stack(layers, dim=1) for name, layers in layered.items()} | single
