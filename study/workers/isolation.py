"""Decides whether a failed group is retried, split or marked failed. Pure logic, no processes.

An error or a timeout splits a group in halves until the guilty point is alone. The death of a
worker may have an outside cause: only repeated deaths at the same update are blamed on the points.
After the first one a group is retried as it is, after the second one it is split; a single point is
marked failed after `deaths` of them. If many points fail alike and none succeeds, more attempts
will not help: see `Tries.given_up`.
"""

from __future__ import annotations

import functools
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from study.config.setup import set_up
from study.interfaces import Group, Point

WHOLE_DEATHS = 2  # at the same update, after which a group of several points is split
NEAR = 2  # updates: deaths this close to each other count as the same place
# This many times as many deaths at different updates, without a new checkpoint between them, are
# blamed on the points too: they probably exhaust the memory.
ANYWHERE = 4


@dataclass(frozen=True)
class Attempt:
    """A group to be trained, with the workers that died of it: `deaths` at update `died_at`,
    `all_deaths` since the checkpoint at update `resumed_at`.
    """

    group: Group
    deaths: int = 0
    died_at: int = 0
    all_deaths: int = 0
    resumed_at: int = 0

    @functools.cached_property
    def key(self) -> str:
        return set_up(self.group.points[0].config).group_key

    def subset(self, points: Sequence[Point], suffix: str) -> Attempt:
        """A new attempt with some of the points, its name extended by `suffix`."""
        share = len(points) / len(self.group.points)
        return Attempt(
            replace(
                self.group,
                name=self.group.name + suffix,
                points=tuple(points),
                cost=self.group.cost * share,
            )
        )

    def halves(self) -> list[Attempt]:
        points = self.group.points
        middle = len(points) // 2
        return [self.subset(points[:middle], "a"), self.subset(points[middle:], "b")]


class Tries:
    """Which group to train next. `groups` is asked for one at a time, when a worker is free.

    A structure is what the points of a group have in common; its key is the group's.
    """

    def __init__(self, groups: Iterable[Group], *, deaths: int, same_failures: int) -> None:
        self.groups: Iterator[Group] | None = iter(groups)
        self.waiting: deque[Attempt] = deque()
        self.deaths, self.same_failures = deaths, same_failures
        # Signature of a failure -> key of a structure -> number of points that failed so.
        self.failed: dict[str, dict[str, int]] = {}
        self.trained: set[str] = set()  # keys of structures with a stored point
        self.dropped: dict[str, str] = {}  # key of a structure that was given up -> why
        self.stopped: str | None = None  # why everything was given up

    def next(self) -> Attempt | None:
        """The next group, preferably one of a structure that has not failed yet."""
        doubtful = {key for keys in self.failed.values() for key in keys} - self.trained
        sound = next((attempt for attempt in self.waiting if attempt.key not in doubtful), None)
        while sound is None and not self.stopped and (attempt := self._from_groups()) is not None:
            self.waiting.append(attempt)
            sound = attempt if attempt.key not in doubtful else None
        found = sound or next(
            (attempt for attempt in self.waiting if attempt.key not in self.dropped), None
        )
        if found is None or self.stopped:
            return None
        self.waiting.remove(found)
        return found

    def _from_groups(self) -> Attempt | None:
        group = next(self.groups, None) if self.groups is not None else None
        if group is None:
            self.groups = None
        return None if group is None else Attempt(group)

    # --- how attempts ended -----------------------------------------------------------------------

    def stored(self, attempt: Attempt) -> None:
        self.trained.add(attempt.key)
        self.dropped.pop(attempt.key, None)

    def again(self, attempt: Attempt, left: Sequence[Point]) -> None:
        """Its worker was asked to leave, or died before it began."""
        if left:
            self.waiting.appendleft(
                replace(attempt, group=replace(attempt.group, points=tuple(left)))
            )

    def died(self, attempt: Attempt, left: Sequence[Point], resumed_at: int, died_at: int) -> bool:
        """Handle a worker that resumed at one update and died at another; whether the one point
        that is `left` is to blame.
        """
        deaths = attempt.deaths + 1 if abs(died_at - attempt.died_at) <= NEAR else 1
        all_deaths = attempt.all_deaths + 1 if resumed_at <= attempt.resumed_at else 1
        guilty = self.deaths if len(left) == 1 else WHOLE_DEATHS
        if left and (deaths >= guilty or all_deaths >= ANYWHERE * self.deaths):
            if len(left) == 1:
                return True
            self.split(attempt, left)
        elif left:
            self.waiting.appendleft(
                replace(
                    attempt.subset(left, ""),
                    deaths=deaths,
                    died_at=died_at,
                    all_deaths=all_deaths,
                    resumed_at=max(resumed_at, attempt.resumed_at),
                )
            )
        return False

    def split(self, attempt: Attempt, left: Sequence[Point]) -> None:
        """Handle an error or a timeout of several points, one of which is guilty."""
        self.waiting.extendleft(reversed(attempt.subset(left, "").halves()))

    def failure(
        self, attempt: Attempt, error: Mapping[str, str], running: Iterable[Attempt]
    ) -> None:
        """Handle the failure of a single point.

        If many points of a structure failed alike and none succeeded, the structure is given up.
        Everything is given up if that many structures failed alike, or all that are waiting or
        `running`: a mistake in one cell must not keep the others from being trained.
        """
        message = (error["message"].splitlines() or [""])[0]
        signature = f"{error['type']}: {re.sub(r'[0-9]+', '#', message)}"
        keys = self.failed.setdefault(signature, {})
        keys[attempt.key] = keys.get(attempt.key, 0) + 1
        why = (
            f"{self.same_failures} points failed alike and none has a result"
            f" ({error['type']}: {message})"
        )
        if attempt.key not in self.trained and keys[attempt.key] >= self.same_failures:
            self.dropped[attempt.key] = why
        others = {each.key for each in (*self.waiting, *running)} - keys.keys()
        spread = len(keys) >= self.same_failures or (self.groups is None and not others)
        if not self.trained and sum(keys.values()) >= self.same_failures and spread:
            self.stopped = why

    def given_up(self) -> list[tuple[Attempt, str]]:
        """Attempts that will not be made any more, and why; their points stay missing."""
        over = [
            (attempt, self.stopped or self.dropped[attempt.key])
            for attempt in self.waiting
            if self.stopped or attempt.key in self.dropped
        ]
        for attempt, _ in over:
            self.waiting.remove(attempt)
        return over


def worker_died(exitcode: int, how: str, deaths: int) -> dict[str, Any]:
    """provenance.failure of a point whose workers died."""
    times = f", {deaths} times" if deaths > 1 else ""
    hint = "; out of memory is the usual cause of SIGKILL" if exitcode == -9 else ""
    message = f"the worker process died ({how}){times}{hint}"
    return {"type": "WorkerDied", "message": message, "traceback": ""}
