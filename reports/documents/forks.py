"""Calls side by side in forks of this process, which share what it has read and computed."""

from __future__ import annotations

import concurrent.futures
import gc
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

Call = Callable[[], Any]

# Set while forks start: they find their work here.
_calls: Sequence[Call] = ()


def side_by_side(calls: Sequence[Call], workers: int) -> list[Any]:
    """What each call returns, in order; with one worker, all are made in this process.

    So are those whose process died. Results travel as pickles; a call's error is raised here.
    """
    if workers <= 1 or len(calls) <= 1:
        return [call() for call in calls]
    global _calls
    _calls = calls
    done: dict[int, Any] = {}
    gc.freeze()  # or the collector's marks would copy every memory page that a fork reads
    try:
        with concurrent.futures.ProcessPoolExecutor(
            min(workers, len(calls)), multiprocessing.get_context("fork")
        ) as pool:
            pending = {pool.submit(_make, number): number for number in range(len(calls))}
            for future in concurrent.futures.as_completed(pending):
                done[pending[future]] = future.result()
    except BrokenProcessPool:
        print(
            "a process that made parts of the report died (out of memory?); making the rest in"
            " this process",
            file=sys.stderr,
        )
    finally:
        _calls = ()
        gc.unfreeze()
    return [done[number] if number in done else call() for number, call in enumerate(calls)]


def _make(number: int) -> Any:
    return _calls[number]()
