"""Independent random streams, one per purpose, derived from a seed."""

from __future__ import annotations

import hashlib

import torch


def generator(seed: int, purpose: str, *key: int) -> torch.Generator:
    """A fresh CPU generator for (seed, purpose, key); equal arguments give equal draws."""
    text = "/".join(map(str, (seed, purpose, *key)))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
