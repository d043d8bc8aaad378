"""What the engine asks of a network: the layout of its weights, forward passes, its recurrences."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.interfaces import Params, Role, State, Unrolled

# Element-wise kernels use a scalar path for the remainder after whole vectors, where sigmoid and
# tanh round differently. Blocks of a multiple of this many values never have a remainder.
VECTOR = 32


class Network(ABC):
    """The structure that all members of a group share; it holds no weights.

    Weights are a tensor [M, P], one row per member; `slices` maps each name to its place in a row.
    `count`: values of a member; `width`: P, padded to whole vectors. `kept`: names of tensors that
    belong to a member without being trained. `kernel`: what computes it.
    `dropout`: share of values dropped between layers by the engine.
    """

    kernel: str
    dropout: float = 0.0
    kept: Sequence[str] = ()
    slices: dict[str, tuple[slice, tuple[int, ...]]]
    count: int
    width: int

    @property
    def trained_count(self) -> int:
        """Number of trained values of a member."""
        return self.count

    def place(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Lay out tensors of these shapes in a row, in this order."""
        self.slices, end = {}, 0
        for name, shape in shapes.items():
            start, end = end, end + math.prod(shape)
            self.slices[name] = (slice(start, end), tuple(shape))
        self.count = end
        self.width = math.ceil(end / VECTOR) * VECTOR

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Views of flat [M, P] by name, each [M, *shape]."""
        return {
            name: flat[:, where].unflatten(1, shape) if shape else flat[:, where].squeeze(1)
            for name, (where, shape) in self.slices.items()
        }

    def joined(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """[M, P] from tensors by name, padded with zeros."""
        first = next(iter(tensors.values()))
        padding = first.new_zeros(first.shape[0], self.width - self.count)
        return torch.cat(
            [tensors[name].reshape(len(first), -1) for name in self.slices] + [padding], dim=1
        )

    def with_kept(self, params: Tensor, states: Sequence[State]) -> Tensor:
        """params [M, P] after an update, with what its forward pass changed beside weights."""
        return params

    @functools.cached_property
    def biases(self) -> Tensor:
        """Which of the P columns hold biases, [P] of true and false."""
        found, roles = torch.zeros(self.width, dtype=torch.bool), self.roles
        for name, (columns, _) in self.slices.items():
            found[columns] = roles[name] == "bias"
        return found

    @property
    @abstractmethod
    def roles(self) -> Mapping[str, Role]:
        """Role of each tensor by name."""

    @abstractmethod
    def forward(
        self, params: Params, x: Tensor, lengths: Tensor | None, masks: Sequence[Tensor] = ()
    ) -> Tensor:
        """Outputs [M, B, O] or [M, B, T, O] for x [M, B, T, D]; `masks`: of dropout, by layer."""

    @abstractmethod
    def unrolled(
        self, params: Params, x: Tensor, lengths: Tensor | None, *, first: Sequence[State] = ()
    ) -> Unrolled:
        """Forward pass with a tap at every state; `first`: the states before the first step."""

    @abstractmethod
    def padded_batch(self, batch: int) -> int:
        """Examples that a batch has inside the network, after padding."""

    @abstractmethod
    def whole_blocks(self) -> bool:
        """Whether members may be trained side by side without changing one another's rounding."""
