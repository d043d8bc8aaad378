"""Independent random streams, one per purpose, derived from a seed."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch


def generator(seed: int, purpose: str, *key: int) -> torch.Generator:
    """A fresh CPU generator for (seed, purpose, key); equal arguments give equal draws."""
    text = "/".join(map(str, (seed, purpose, *key)))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


def seed_everything(seed: int) -> None:
    """Start the global generators of torch, numpy and random, which users' code may draw from."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - for code that draws from it
    random.seed(seed)


@contextlib.contextmanager
def own_draws(seed: int = 0, devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Inside, the global generators start at `seed`; afterwards they are as they were."""
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=list(devices)):
            seed_everything(seed)
            yield
    finally:
        np.random.set_state(of_numpy)  # noqa: NPY002
        random.setstate(of_python)
