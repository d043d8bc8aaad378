"""Base of tasks over a fixed data set: splits and shuffling by epoch."""

from __future__ import annotations

import functools
import hashlib
from abc import abstractmethod
from collections.abc import Callable

import torch

from study.interfaces import PARTS, Batch, Part, Task
from study.records import StudyError

ORDERS = 2**27  # bytes of permutations that are kept: of the seeds of a group, each in one epoch


class Arrays(Task):
    """`load` must set `parts`: disjoint Batches of examples for train, validation and test."""

    parts: dict[str, Batch]

    @abstractmethod
    def load(self) -> None: ...

    def data_hash(self) -> str:
        return self._stored_hash

    @functools.cached_property
    def _stored_hash(self) -> str:
        return self._hash()

    def _hash(self) -> str:
        digest = hashlib.blake2b(digest_size=8)
        for name in PARTS:
            part = self.parts[name]
            for tensor in (part.x, part.y, part.lengths):
                if tensor is not None:
                    digest.update(str((tuple(tensor.shape), tensor.dtype)).encode())
                    digest.update(tensor.contiguous().numpy().data)  # not copied
        return digest.hexdigest()

    def sample(self, stream: Callable[..., torch.Generator], update: int, batch: int) -> Batch:
        """The next `batch` examples, in the order of one permutation per epoch.

        A batch may cross the end of an epoch.
        """
        count = len(self.parts["train"].x)
        if batch > count:
            raise StudyError(
                f"batch: {batch} is more than the {count} training examples of the task; use"
                f" batch={count} or less"
            )
        first, end = update * batch, (update + 1) * batch
        parts = []
        for epoch in range(first // count, (end - 1) // count + 1):
            order = self._permutation(count, stream(epoch))
            parts.append(order[max(first - epoch * count, 0) : end - epoch * count])
        chosen = parts[0] if len(parts) == 1 else torch.cat(parts)
        return take(self.parts["train"], chosen.long())

    def _permutation(self, count: int, fresh: torch.Generator) -> torch.Tensor:
        """The permutation that a fresh generator draws, as 32 bits; the last ones are kept."""
        key, orders = (count, fresh.initial_seed()), self._permutations
        if key not in orders:
            most = max(1, ORDERS // (4 * count))
            for old in list(orders)[: max(0, len(orders) + 1 - most)]:
                del orders[old]
            orders[key] = torch.randperm(count, generator=fresh).int()
        return orders[key]

    @functools.cached_property
    def _permutations(self) -> dict[tuple[int, int], torch.Tensor]:
        return {}

    def split(self, part: Part) -> Batch:
        return self._splits[part]

    @functools.cached_property
    def _splits(self) -> dict[str, Batch]:
        """The first training examples, as many as validation has, are views."""
        train, count = self.parts["train"], len(self.parts["validation"].x)
        lengths = None if train.lengths is None else train.lengths[:count]
        return self.parts | {"train": Batch(train.x[:count], train.y[:count], lengths)}


def take(part: Batch, index: torch.Tensor) -> Batch:
    """Select the examples at these positions."""
    return Batch(
        x=part.x[index],
        y=part.y[index],
        lengths=None if part.lengths is None else part.lengths[index],
    )
