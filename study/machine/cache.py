"""The user's cache folder: what this program can make again, and would rather not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def cache_folder() -> Path:
    """Where this program keeps what it can make again."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path("~/.cache").expanduser()) / "rnn-gradient-study"


def machine() -> str:
    """A name that changes with the processor."""
    names = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names += [line for line in lines if line.startswith("model name")][:1]
    return hashlib.blake2b("\n".join(names).encode(), digest_size=8).hexdigest()


def kept_arrays(
    name: str, made_from: Mapping[str, Any], make: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What `make` returns, read from the cache folder where it was made from the same before.

    `made_from`: everything that the arrays depend on, versions included. A file that cannot be read
    is made again; where none can be written, nothing is kept.
    """
    text = json.dumps(made_from, sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    path = cache_folder() / f"{name}-{digest}.npz"
    with (
        contextlib.suppress(OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error),
        np.load(path, allow_pickle=False) as kept,
    ):
        return dict(kept)  # the archive has a checksum of each array
    arrays = make()
    partial = path.with_name(f".{os.getpid()}-{path.name}")  # ends in .npz, or numpy adds it
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
        partial.replace(path)
    return arrays
