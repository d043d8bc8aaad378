"""Remove members from a group in training; the numbers of those that stay do not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from study.config.setup import clip_rules_of, optimizer_of, penalty_of, schedule_of
from study.training.serialize import map_leaves
from study.training.state import Measured, Training

# Fields of Training other than (nested) tensors with M as first axis.
NOT_TENSORS = (
    "setups",
    "clip_states",
    "clip_rules",
    "optimizer",
    "penalty",
    "schedule",
    "direct",
    "measured",
    "measured_alone",
    "evaluations",
    "metrics",
)


def keep_members(training: Training, stay: Sequence[int]) -> None:
    """Continue with these members only, at least one; a lone one is doubled, as in `prepare`."""
    stay = [stay[0]] * 2 if len(stay) == 1 else list(stay)
    index = torch.tensor(stay, device=training.device)
    clips = [
        (state, members.tolist())
        for state, (_, members) in zip(training.clip_states, training.clip_rules, strict=True)
    ]
    for field in fields(training):  # every tensor has M as first axis
        if field.name not in NOT_TENSORS:
            setattr(training, field.name, _select(getattr(training, field.name), index))
    training.points = [training.points[member] for member in stay]
    training.measured = [of_members(measured, stay) for measured in training.measured]
    training.measured_alone = [training.measured_alone[member] for member in stay]
    training.setups = [training.setups[member] for member in stay]
    training.optimizer = optimizer_of(training.setups, training.device, training.dtype)
    training.clip_rules = clip_rules_of(training.setups, training.device, training.dtype)
    training.penalty = penalty_of(training.setups, training.device, training.dtype)
    training.schedule = schedule_of(training.setups, training.device)
    training.clip_states = []
    for _, members in training.clip_rules:
        before = [stay[member] for member in members.tolist()]
        state, indices = next((state, old) for state, old in clips if before[0] in old)
        training.clip_states.append(
            _select(
                state,
                torch.tensor([indices.index(member) for member in before], device=training.device),
            )
        )


def _select(state: Any, index: Tensor) -> Any:
    """Select members from nested tensors."""
    return map_leaves(lambda leaf: leaf[index] if isinstance(leaf, Tensor) else leaf, state)


def of_members(measured: Measured, stay: Sequence[int]) -> Measured:
    """The same measurement with these members only."""
    stay = list(stay)
    values = {
        name: (
            value[stay]
            if isinstance(value, np.ndarray)
            else replace(value, values=value.values[stay])
        )
        for name, value in measured.values.items()
    }
    profiles = {
        which: {name: column[stay] for name, column in columns.items()}
        for which, columns in measured.profiles.items()
    }
    states = {layer: [rows[member] for member in stay] for layer, rows in measured.states.items()}
    return replace(measured, values=values, profiles=profiles, states=states)
