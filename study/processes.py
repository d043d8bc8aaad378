"""Warm, single-threaded worker processes of this machine, which never outlive their parent (standard library only)."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
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


LEAVE = (signal.SIGTERM, signal.SIGUSR1)  # what a cluster sends before it takes a machine away


def memory() -> float:
    """Bytes of this machine's memory, or of what this process's group may use of it; infinite where that cannot be told."""
    try:
        whole = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return float("inf")
    try:
        return min(whole, float(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # "max" is no number
        return whole


def start(target: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """A spawned process that runs target(connection, *arguments), a function of a module, and our end of its connection."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    # Ctrl-C goes to every process of the terminal: the launcher decides what it means. A child inherits the mask from birth.
    # The first start would also start multiprocessing's resource tracker, which unblocks the signal for whoever called it.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        # By name: the child would import the target's module (torch: seconds) before the first line that we choose.
        process = context.Process(target=_live, args=(there, os.getpid(), target.__module__, target.__qualname__, *arguments), daemon=True)
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    there.close()
    return process, here


def _live(connection: Connection, parent: int, module: str, name: str, *arguments: Any) -> None:
    die_with(parent)
    getattr(importlib.import_module(module), name)(connection, *arguments)


SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h
LOOK_SECONDS = 1.0


def die_with(parent: int) -> None:
    """End this process when its parent ends, however that ends: a step may take minutes, and nobody would hear of it."""
    if sys.platform != "linux" or ctypes.CDLL(None, use_errno=True).prctl(SET_DEATH_SIGNAL, signal.SIGKILL) != 0:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    elif os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)


@contextlib.contextmanager
def leaving_like_ctrl_c() -> Iterator[None]:
    """SIGTERM and SIGUSR1 mean what Ctrl-C means, in the main thread of a command."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in LEAVE}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- who is there ------------------------------------------------------------------------------------------------


def machine() -> str:
    """This machine and its process numbers, without its name: processes can be looked up where it is equal."""
    parts = []
    for read in (lambda: Path("/proc/sys/kernel/random/boot_id").read_text(), lambda: str(Path("/proc/self/ns/pid").readlink())):
        try:
            parts.append(read())
        except OSError:
            return ""
    return hashlib.blake2b("".join(parts).encode(), digest_size=8).hexdigest()


def started(pid: int) -> str:
    """When a process started, as the kernel counts, so that a number used again is another process; "" if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have, where the kernel tells."""
    try:
        told = [(task / "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    children = [int(child) for some in told for child in some]
    return [*children, *(further for child in children for further in descendants(child))]


def end(process: BaseProcess | subprocess.Popen[bytes]) -> None:
    """Kill a process and whatever it has started, in sessions of their own too. Waiting for it is the caller's."""
    helpers = descendants(process.pid or 0)
    process.kill()
    for pid in helpers:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def gone(here: str, there: str, pid: int, since: str) -> bool:
    """Whether the process `pid` of machine `there` that started at `since` is no longer; False where that cannot be told."""
    return bool(here) and there == here and bool(since) and started(pid) != since
