"""Digests of stored files: one that is cut or has a flipped bit is known for what it is (standard
library only).

A JSON file holds its own, last: the digest of its text with UNSET in the place of the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

UNSET = "0" * 64  # stands for a file's own digest while it is computed


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def signed(content: Mapping[str, Any]) -> bytes:
    """A JSON text that holds its own digest.

    Raises ValueError for numbers that JSON does not have.
    """
    unsigned = {name: value for name, value in content.items() if name != "digest"}
    data = json.dumps({**unsigned, "digest": UNSET}, indent=1, allow_nan=False).encode()
    head, _, tail = data.rpartition(UNSET.encode())
    return head + digest(data).encode() + tail


def holds(data: bytes, content: Mapping[str, Any]) -> bool:
    """Whether `data`, whose JSON is `content`, has the digest that was written with it."""
    told = content.get("digest")
    if not isinstance(told, str) or len(told) != len(UNSET):
        return False
    head, mark, tail = data.rpartition(told.encode("utf-8", errors="replace"))
    return bool(mark) and digest(head + UNSET.encode() + tail) == told
