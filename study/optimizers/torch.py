"""Optimizers of torch.optim, by their names and with their own settings."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor

from study.interfaces import EachMember, Optimizer, require

# A member is one flat row, so only rules that treat every value by itself are right.
ELEMENTWISE = (
    "ASGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
)
OTHERS = {
    "Adafactor": "it factorizes each matrix; use AdamW",
    "LBFGS": "it searches along a line with many passes per update; use AdamW",
    "Muon": "it orthogonalizes each matrix; use AdamW",
    "SparseAdam": "it is for sparse gradients, which networks here do not have; use Adam",
}
# How torch computes an update and in which direction is not the study's choice.
FIXED = ("params", "lr", "foreach", "fused", "capturable", "differentiable", "maximize")
ON_CPU = ("step", "mu_product")  # states that torch keeps on the CPU, whatever the device


class Torch(Optimizer):
    """torch.optim.NAME with each member, one flat row, as a parameter group of its own.

    `settings`: torch's own arguments by their names, null for torch's default; their numbers and
    `lr` may differ inside a group. Only rules that treat every value by itself are right on flat
    rows; others are refused. Equals a loop in plain PyTorch, also with its schedulers: learning
    rates stay in fp64. Each member is updated by calls of its own, so an update takes longer than
    that of `adam` (conf/README.md), and on a GPU it waits for the device.
    """

    def __init__(
        self,
        *,
        name: str,
        lr: Annotated[float, EachMember],
        settings: Annotated[Mapping[str, Any], EachMember],
        decay_biases: bool,
    ) -> None:
        if name in OTHERS:
            raise ValueError(
                f"torch: name {name} needs more than flat rows of values: {OTHERS[name]}"
            )
        require(name in ELEMENTWISE, "torch", "name", f"one of {', '.join(ELEMENTWISE)}", name)
        self.name, self.decay_biases = name, decay_biases
        self.kind: type[torch.optim.Optimizer] = getattr(torch.optim, name)
        self.lr: Any = [float(rate) for rate in (lr if isinstance(lr, Sequence) else [lr])]
        require(
            all(rate > 0 and math.isfinite(rate) for rate in self.lr),
            "torch",
            "lr",
            "greater than 0",
            lr,
        )
        self.settings = [
            checked(self.kind, each)
            for each in (settings if isinstance(settings, Sequence) else [settings])
        ]
        # columns with weight decay and without, where biases are spared
        self.spared: tuple[Tensor, Tensor] | None = None
        for rate, each in zip(self.lr, self.settings, strict=True):
            try:
                self.kind([torch.zeros(1)], lr=rate, foreach=False, **each)
            except ValueError as error:
                raise ValueError(f"torch: {name} refuses its settings: {error}") from error

    def init(self, params: Tensor) -> dict[str, Tensor]:
        """No state: torch makes it at the first update."""
        return {}

    def __call__(
        self, grads: Tensor, params: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.spared is None:
            return self._updated(grads, params, state, self.settings)
        without = [{**each, "weight_decay": 0.0} for each in self.settings]
        joined, following = torch.empty_like(params), {}
        for columns, settings in zip(self.spared, (self.settings, without), strict=True):
            # Values [M, P] of a state are split; those of a whole member [M] are in both parts.
            own = {
                key: each.index_select(1, columns) if each.ndim > 1 else each
                for key, each in state.items()
            }
            after, states = self._updated(
                grads.index_select(1, columns), params.index_select(1, columns), own, settings
            )
            joined.index_copy_(1, columns, after)
            for key, each in states.items():
                if each.ndim == 1:
                    following[key] = each
                else:
                    whole = following.setdefault(key, each.new_empty(params.shape))
                    whole.index_copy_(1, columns, each)
        return joined, following

    def scaled(self, factor: Tensor) -> Torch:
        copied = copy.copy(self)
        copied.lr = [rate * each for rate, each in zip(self.lr, factor.tolist(), strict=True)]
        return copied

    def sparing(self, biases: Tensor) -> Torch:
        copied = copy.copy(self)
        default = arguments(self.kind).get("weight_decay", 0.0)
        # Without decay there is nothing to spare, and one row is faster than two.
        decays = any(each.get("weight_decay", default) for each in self.settings)
        parts = (~biases).nonzero()[:, 0], biases.nonzero()[:, 0]
        copied.spared = parts if decays and len(parts[1]) else None
        return copied

    def _updated(
        self,
        grads: Tensor,
        params: Tensor,
        state: Mapping[str, Tensor],
        settings: Sequence[Mapping[str, Any]],
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One step of new torch optimizers with this state, which they do not change.

        One for each distinct settings, as some are used by a constructor alone; a member is a
        parameter group.
        """
        after = params.detach().clone()
        rows = list(after.unbind(0))
        for row, grad in zip(rows, grads, strict=True):
            row.grad = grad
        copies = {key: value.clone() for key, value in state.items()}
        copies |= {key: copies[key].cpu() for key in ON_CPU if key in copies}
        following: list[Mapping[str, Any]] = [{}] * len(rows)
        for members in alike(settings):
            groups = [{"params": [rows[member]], "lr": self.lr[member]} for member in members]
            optimizer = self.kind(groups, foreach=False, **settings[members[0]])  # type: ignore[call-arg]
            # A first update has no state; then torch's own, which some optimizers make when built.
            if copies:
                for member in members:
                    own = {key: value[member] for key, value in copies.items()}
                    optimizer.state[rows[member]] = own
            optimizer.step()
            for member in members:
                following[member] = optimizer.state[rows[member]]
        stacked = {
            key: torch.stack([own[key] for own in following]).to(params.device)
            for key in following[0]
        }
        return after, stacked


def alike(settings: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """The members with equal settings together, by their indices."""
    found: list[list[int]] = []
    for member, each in enumerate(settings):
        same = next((members for members in found if settings[members[0]] == each), None)
        if same is None:
            found.append([member])
        else:
            same.append(member)
    return found


def arguments(kind: type[torch.optim.Optimizer]) -> dict[str, Any]:
    """The settings that an optimizer of torch takes, with torch's defaults."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if name not in FIXED
    }


def checked(kind: type[torch.optim.Optimizer], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are given, as torch takes them. Raises ValueError."""
    allowed, found = arguments(kind), {}
    for key, value in settings.items():
        if value is None:
            continue
        name = f"settings.{key} of {kind.__name__}"
        if key not in allowed:
            raise ValueError(
                f"torch: settings: {kind.__name__} has no {key!r}; it takes"
                f" {', '.join(allowed) or 'none'}"
            )
        default = allowed[key]
        if isinstance(default, bool):
            require(isinstance(value, bool), "torch", name, "true or false", value)
        elif isinstance(default, tuple):
            fits = isinstance(value, Sequence) and not isinstance(value, str)
            fits = fits and len(value) == len(default) and all(map(_is_number, value))
            require(fits, "torch", name, f"a list of {len(default)} numbers", value)
            value = tuple(value)
        else:
            require(_is_number(value), "torch", name, "a finite number", value)
        found[key] = value
    return found


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)
