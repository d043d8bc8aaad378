"""Signals of this tool's processes, and what they mean."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

LEAVE = (signal.SIGTERM, signal.SIGUSR1)  # a cluster sends them before it takes a machine away
# Makes a worker that hangs write its stack. Slurm sends it too, to a job with all its processes.
WRITE_STACK = signal.SIGUSR2


@contextlib.contextmanager
def leaving_like_ctrl_c() -> Iterator[None]:
    """In the main thread of a command, SIGTERM and SIGUSR1 act like Ctrl-C."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in LEAVE}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
