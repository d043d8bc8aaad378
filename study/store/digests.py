"""Digests that reveal truncated files and flipped bits.

A JSON file ends with its own digest, computed over its text with UNSET in place of the digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

UNSET = "0" * 64  # placeholder for a file's own digest while that is computed


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def signed(content: Mapping[str, Any]) -> bytes:
    """JSON text that holds its own digest. Raises ValueError for NaN and infinity."""
    unsigned = {name: value for name, value in content.items() if name != "digest"}
    data = json.dumps({**unsigned, "digest": UNSET}, indent=1, allow_nan=False).encode()
    head, _, tail = data.rpartition(UNSET.encode())
    return head + digest(data).encode() + tail


def is_intact(data: bytes, content: Mapping[str, Any]) -> bool:
    """Whether `data`, whose JSON is `content`, matches the digest stored in it."""
    stored = content.get("digest")
    if not isinstance(stored, str) or len(stored) != len(UNSET):
        return False
    head, mark, tail = data.rpartition(stored.encode("utf-8", errors="replace"))
    return bool(mark) and digest(head + UNSET.encode() + tail) == stored
