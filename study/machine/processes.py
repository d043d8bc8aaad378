"""Warm, single-threaded worker processes of this machine, which never outlive their parent
(standard library only).
"""

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# Read when a process starts, so they are set before. One thread each: two processes with torch's
# default threads on
# two cores run 30 to 100 times slower. Large thresholds keep glibc from returning memory that the
# next step asks for again.
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
# asks a worker that hangs where it is; Slurm's jobs hear it too, and all their processes with them
WHERE = signal.SIGUSR2


def memory() -> float:
    """Bytes of this machine's memory, or of what this process's group may use of it; infinite where
    that cannot be told.
    """
    try:
        whole = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return float("inf")
    try:
        return min(whole, float(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # "max" is no number
        return whole


# Where the system can fork safely, all processes are forked from one that has imported what they
# need and does nothing else: torch takes
# seconds to import, and Python as long to take a process apart that has imported it.
METHOD = "forkserver" if sys.platform == "linux" else "spawn"
DIES_WITH_PARENT = "study.machine.dies_with_parent"


def warm(modules: Sequence[str]) -> None:
    """Begin to start the process that others are forked from, unless it is there: it imports these
    modules meanwhile. It ends with this one.
    """
    if METHOD != "forkserver":
        return
    with _as_children_need_it():
        multiprocessing.get_context(METHOD).set_forkserver_preload([DIES_WITH_PARENT, *modules])
        forkserver.ensure_running()


def start(target: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """A process that runs target(connection, *arguments), a function of a module, and our end of
    its connection.
    """
    warm([target.__module__])
    here, there = multiprocessing.Pipe()
    # By name: the child would import the target's module (torch: seconds) before the first line
    # that we choose.
    what = (
        there,
        os.getpid(),
        os.environ | ENVIRONMENT,
        target.__module__,
        target.__qualname__,
        *arguments,
    )
    process = None
    try:
        with _as_children_need_it():
            try:
                process = _started(METHOD, what)
            except (
                EOFError,
                ConnectionError,
            ):  # who forks has died meanwhile: out of memory is the usual cause
                process = _started("spawn", what)
    except BaseException:  # Ctrl-C, held back until now: nobody will know of the process
        if process is not None:
            process.kill()
        raise
    there.close()
    return process, here


def _started(method: str, what: tuple[Any, ...]) -> BaseProcess:
    process = multiprocessing.get_context(method).Process(target=_live, args=what, daemon=True)  # type: ignore[attr-defined]
    process.start()
    return process


@contextlib.contextmanager
def _as_children_need_it() -> Iterator[None]:
    """The environment and the mask of signals that a child inherits from birth; none of these
    signals interrupts what is done here.

    Ctrl-C goes to every process of the terminal: the launcher decides what it means. So do signals
    to leave, and who forks must not be ended by them before the workers have kept what they have.
    """
    mine, held = (signal.SIGINT, WHERE, *LEAVE), set[int]()
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    # The first start would also start multiprocessing's resource tracker, which unblocks Ctrl-C for
    # whoever called it.
    resource_tracker.ensure_running()
    # Blocked in this thread, a signal finds another one, and Python would act upon it here.
    here = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in mine} if here else {}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        for number in handlers:
            signal.signal(number, lambda came, frame: held.add(came))
        signal.pthread_sigmask(signal.SIG_BLOCK, mine)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        _hear_again(handlers)
        for came in held:
            signal.raise_signal(came)


def _hear_again(handlers: dict[signal.Signals, Any]) -> None:
    """Every handler is put back, also where one of them hears a signal meanwhile and raises."""
    if handlers:
        number, handler = handlers.popitem()
        try:
            signal.signal(number, handler)
        finally:
            _hear_again(handlers)


def _live(
    connection: Connection,
    launcher: int,
    environment: Mapping[str, str],
    module: str,
    name: str,
    *arguments: Any,
) -> None:
    die_with(launcher)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LEAVE)
    os.environ.clear()  # who forks has the one of the time when it was started
    os.environ.update(environment)
    getattr(importlib.import_module(module), name)(connection, *arguments)


SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h
LOOK_SECONDS = 1.0


def die_with(launcher: int) -> None:
    """End this process when its parent ends, however that ends: a step may take minutes, and nobody
    would hear of it.

    The parent is the launcher, or was started by it and ends with it.
    """
    if (
        sys.platform != "linux"
        or ctypes.CDLL(None, use_errno=True).prctl(SET_DEATH_SIGNAL, signal.SIGKILL) != 0
    ):
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    if launcher not in (parent := os.getppid(), _parent_of(parent)):  # it ended before we asked
        os._exit(1)


def _parent_of(pid: int) -> int:
    """0 where it is gone, or nobody tells."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return 0


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


# --- who is there ---------------------------------------------------------------------------------


def machine() -> str:
    """This machine and its process numbers, without its name: processes can be looked up where it
    is equal.
    """
    parts = []
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text(),
        lambda: str(Path("/proc/self/ns/pid").readlink()),
    ):
        try:
            parts.append(read())
        except OSError:
            return ""
    return hashlib.blake2b("".join(parts).encode(), digest_size=8).hexdigest()


def started(pid: int) -> str:
    """When a process started, as the kernel counts, so that a number used again is another process;
    "" if it is gone.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have, where the kernel tells."""
    try:
        told = [
            (task / "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()
        ]
    except OSError:
        return []
    children = [int(child) for some in told for child in some]
    return [*children, *(further for child in children for further in descendants(child))]


def end(process: BaseProcess | subprocess.Popen[bytes]) -> None:
    """Kill a process and whatever it has started, in sessions of their own too.

    Waiting for it is the caller's.
    """
    helpers = descendants(process.pid or 0)
    process.kill()
    for pid in helpers:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def gone(here: str, there: str, pid: int, since: str) -> bool:
    """Whether the process `pid` of machine `there` that started at `since` is no longer; False
    where that cannot be told.
    """
    return bool(here) and there == here and bool(since) and started(pid) != since
