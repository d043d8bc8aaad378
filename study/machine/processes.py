"""Starts single-threaded worker processes fast; they never outlive the process that starts them.

Where the system forks safely, all workers are forked from one process that has imported what they
need and does nothing else: importing torch takes seconds, and so does tearing down a Python process
that has imported it.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from study.machine.orphans import die_with
from study.machine.signals import LEAVE, WRITE_STACK

# Read when a process starts, so they are set before. One thread each: with torch's default threads,
# two processes on two cores run 30 to 100 times slower. The large thresholds keep glibc from
# returning memory that the next step requests again.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}
METHOD = "forkserver" if sys.platform == "linux" else "spawn"
DIES_WITH_PARENT = "study.machine.dies_with_parent"


def warm(modules: Sequence[str]) -> None:
    """Start the process that workers are forked from, unless it runs already, and return at once;
    it imports these modules meanwhile and ends with this process.
    """
    if METHOD != "forkserver":
        return
    with _settings_of_children():
        multiprocessing.get_context(METHOD).set_forkserver_preload([DIES_WITH_PARENT, *modules])
        forkserver.ensure_running()


def age() -> float:
    """Seconds since this process was started."""
    return time.time() - psutil.Process().create_time()


def is_command() -> bool:
    """Whether this process was started to carry out one command, as by `python -m study`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return str(getattr(spec, "name", "")).startswith("study.")


def start(target: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """A process that runs target(connection, *arguments), and our end of the connection.

    `target` must be a function of a module.
    """
    warm([target.__module__])
    ours, theirs = multiprocessing.Pipe()
    # By name: unpickling the target would import its module (torch: seconds) before our first line.
    call = (
        theirs,
        os.getpid(),
        os.environ | ENVIRONMENT,
        target.__module__,
        target.__qualname__,
        *arguments,
    )
    process = None
    try:
        with _settings_of_children():
            try:
                process = _start(METHOD, call)
            except (EOFError, ConnectionError):
                # The process to fork from has died, usually for lack of memory.
                process = _start("spawn", call)
    except BaseException:  # Ctrl-C, deferred until now: the caller will not know the process
        if process is not None:
            process.kill()
        raise
    theirs.close()
    return process, ours


def _start(method: str, call: tuple[Any, ...]) -> BaseProcess:
    process = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
        target=_run, args=call, daemon=True
    )
    with _without_main():
        process.start()
    return process


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Keep a child from importing the program's main module: it needs nothing of it, and a script
    that calls study.run without `if __name__ == "__main__"` would run once more in every worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _run(
    connection: Connection,
    launcher: int,
    environment: Mapping[str, str],
    module: str,
    name: str,
    *arguments: Any,
) -> None:
    """What the new process does."""
    die_with(launcher)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LEAVE)
    os.environ.clear()  # a fork has the environment of the time when its parent was started
    os.environ.update(environment)
    getattr(importlib.import_module(module), name)(connection, *arguments)


@contextlib.contextmanager
def _settings_of_children() -> Iterator[None]:
    """The environment and the signal mask that a child inherits; signals that arrive meanwhile are
    handled at the end.

    Children block Ctrl-C, which goes to every process of the terminal: the launcher decides what it
    means. They also block the signals to leave at first, since the process to fork from must not
    end before the workers have saved their state.
    """
    blocked, deferred = (signal.SIGINT, WRITE_STACK, *LEAVE), set[int]()
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    # Otherwise the first start would start it, and unblock Ctrl-C in this thread.
    resource_tracker.ensure_running()
    # A signal blocked in this thread would be delivered to another one, and Python runs handlers in
    # the main thread: hence handlers that only remember it.
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in blocked} if is_main else {}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        for number in handlers:
            signal.signal(number, lambda number, frame: deferred.add(number))
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        _restore(handlers)
        for arrived in deferred:
            signal.raise_signal(arrived)


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    """Put back every handler, even if one of them handles a signal meanwhile and raises."""
    if handlers:
        number, handler = handlers.popitem()
        try:
            signal.signal(number, handler)
        finally:
            _restore(handlers)
