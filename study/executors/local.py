"""This machine's cores or GPUs: one warm, single-threaded worker process on each.

Failures are isolated to the points that cause them (study.workers.isolation).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import torch

from study.config.resolve import resolve_device
from study.interfaces import Event, Executor, Group, require
from study.machine.resources import cores
from study.workers.isolation import Tries
from study.workers.pool import Limits, Pool

# Largest group with max_members=auto, if memory does not limit it further. On a CPU more members
# would not fit the cache; a GPU takes about as long for one member as for many.
MEMBERS = {"cpu": 24, "cuda": 512}


class Local(Executor):
    """`workers` processes; auto: one per core this process may use, or one per GPU if `device` is
    one. Groups have at most `max_members` points; auto: MEMBERS.

    A group without any progress for `timeout_minutes` (null: no limit) has failed. A single point
    is blamed for `deaths` of its workers at the same update. After `same_failures` equal failures
    without any result the study stops. Workers that are asked to leave get `leave_seconds` to save
    what they are training.
    """

    def __init__(
        self,
        *,
        workers: Literal["auto"] | int,
        max_members: Literal["auto"] | int,
        device: str,
        timeout_minutes: float | None,
        deaths: int,
        same_failures: int,
        leave_seconds: float,
    ) -> None:
        for name, value in (("workers", workers), ("max_members", max_members)):
            require(value == "auto" or value >= 1, "local", name, "auto or at least 1", value)
        require(
            timeout_minutes is None or timeout_minutes > 0,
            "local",
            "timeout_minutes",
            "greater than 0 or null",
            timeout_minutes,
        )
        require(deaths >= 1, "local", "deaths", "at least 1", deaths)
        require(same_failures >= 1, "local", "same_failures", "at least 1", same_failures)
        require(leave_seconds >= 0, "local", "leave_seconds", "at least 0", leave_seconds)
        kind = resolve_device(device, gpus=None)
        available = torch.cuda.device_count() if kind == "cuda" else cores()
        self.workers = workers if isinstance(workers, int) else available
        self.max_members = max_members if isinstance(max_members, int) else MEMBERS[kind]
        self.deaths, self.same_failures = deaths, same_failures
        timeout = None if timeout_minutes is None else 60 * timeout_minutes
        self.limits = Limits(self.workers, deaths, timeout, leave_seconds)

    def run(self, groups: Iterable[Group], folder: Path) -> Iterator[Event]:
        tries = Tries(groups, deaths=self.deaths, same_failures=self.same_failures)
        with tempfile.TemporaryDirectory(prefix="study-") as scratch:
            pool = Pool(self.limits, tries, folder, Path(scratch))
            try:
                yield from pool.events()
            finally:
                pool.leave()
