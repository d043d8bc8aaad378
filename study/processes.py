"""Warm, single-threaded worker processes of this machine (standard library only)."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

# Read when a process starts, so they are set before. One thread each: two processes with torch's default threads on
# two cores run 30 to 100 times slower. Large thresholds keep glibc from returning memory that the next step asks for again.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(target: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """A spawned process that runs target(connection, *arguments), and our end of its connection."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    # Ctrl-C goes to every process of the terminal: the launcher decides what it means. A child inherits the mask from birth.
    # The first start would also start multiprocessing's resource tracker, which unblocks the signal for whoever called it.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = context.Process(target=target, args=(there, *arguments), daemon=True)
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    there.close()
    return process, here
