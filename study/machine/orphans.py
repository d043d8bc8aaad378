"""Processes that end when the process that started them ends, however it ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing.process import BaseProcess

import psutil

SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG in linux/prctl.h
POLL_SECONDS = 1.0


def die_with(launcher: int) -> None:
    """End this process when its parent ends: otherwise it would go on for minutes before it notices
    that nobody reads its results.

    The parent is `launcher`, or was started by it and ends with it.
    """
    if (
        sys.platform != "linux"
        or ctypes.CDLL(None, use_errno=True).prctl(SET_DEATH_SIGNAL, signal.SIGKILL) != 0
    ):
        threading.Thread(target=_poll_parent, args=(os.getppid(),), daemon=True).start()
    parent = os.getppid()
    if launcher not in (parent, _parent_of(parent)):  # it ended before the call above
        os._exit(1)


def _parent_of(pid: int) -> int | None:
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return None


def _poll_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, directly or indirectly, and that still run."""
    return [process.pid for process in _descendants(pid)]


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def end(process: BaseProcess | subprocess.Popen[bytes]) -> None:
    """Kill a process and all its descendants, even in sessions of their own. The caller waits for
    the process.
    """
    helpers = _descendants(process.pid) if process.pid else []
    process.kill()
    for helper in helpers:
        with contextlib.suppress(psutil.Error):
            helper.kill()  # unless its number belongs to another process by now
