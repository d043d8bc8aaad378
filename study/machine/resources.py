"""How many cores and how much memory this process may use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # Linux, version 2


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> float:
    """Bytes of the machine's memory, or of what a container or a cluster's job is limited to.

    psutil knows the machine only.
    """
    return min([float(psutil.virtual_memory().total), *group_limits(CGROUPS, MEMBERSHIP)])


def group_limits(root: Path, membership: Path) -> Iterator[float]:
    """Memory limits of this process's control group and of every group above it, where set."""
    groups = [root]
    with contextlib.suppress(OSError, StopIteration):
        lines = membership.read_text().splitlines()
        name = next(line for line in lines if line.startswith("0::")).removeprefix("0::/")
        groups += [root / name, *(root / name).parents]
    for group in dict.fromkeys(groups):
        if group.is_relative_to(root):
            with contextlib.suppress(OSError, ValueError):  # no limit is the word "max"
                yield float((group / "memory.max").read_text())
