"""Base of tasks that draw sequences: endless training data, fixed validation and test sets."""

from __future__ import annotations

import functools
import hashlib
from abc import abstractmethod
from collections.abc import Callable

import torch

from study.interfaces import PARTS, Batch, Part, Task
from study.numerics.streams import generator

FIXED_SEED = 0  # of the fixed sets, the same for every point


class Generated(Task):
    """Subclasses define `draw`; `examples` is the size of each fixed set."""

    examples: int

    @abstractmethod
    def draw(self, rng: torch.Generator, batch: int) -> Batch:
        """`batch` new examples, drawn from `rng` only."""

    def load(self) -> None: ...

    def data_hash(self) -> str:
        """A hash of the fixed validation examples, which changes with the distribution."""
        part = self.split("validation")
        return hashlib.blake2b(
            part.x.numpy().tobytes() + part.y.numpy().tobytes(), digest_size=8
        ).hexdigest()

    def sample(self, stream: Callable[..., torch.Generator], update: int, batch: int) -> Batch:
        return self.draw(stream(update), batch)

    def split(self, part: Part) -> Batch:
        return self._fixed[part]

    @functools.cached_property
    def _fixed(self) -> dict[str, Batch]:
        return {
            part: self.draw(generator(FIXED_SEED, f"fixed {part}"), self.examples) for part in PARTS
        }
