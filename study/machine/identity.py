"""Recognizes a process again, from another process and much later (standard library only).

psutil is not used here: its start times shift when the system clock is set, and a live process
would seem to have ended. The kernel's counts since boot do not.
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def machine_id() -> str:
    """Equal for processes that see each other by number; "" if unknown. Reveals no name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
    return hashlib.blake2b(f"{boot}{namespace}".encode(), digest_size=8).hexdigest()


def start_time(pid: int) -> str:
    """When a process started, in the kernel's ticks since boot; "" if it has ended.

    Tells a process from a later one with the same number.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def has_ended(here: str, machine: str, pid: int, since: str) -> bool:
    """Whether process `pid` of `machine`, started at `since`, has ended; False if that cannot be
    known on the machine `here`.
    """
    return bool(here) and machine == here and bool(since) and start_time(pid) != since
