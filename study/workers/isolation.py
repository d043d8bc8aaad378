"""What becomes of a group that failed: it is tried again, split, or its one point is marked failed.

Plain decisions, no process.

An error or a time-out splits a group in halves until the guilty point stands alone. The death of a
worker may have come from outside: only deaths at the same update are the points' fault. A group is
then tried again as it is once, and split after that; a point alone is marked failed after `deaths`
of them. The same failure again and again is a mistake that more tries do not mend: see
`Tries.given_up`.
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

WHOLE_DEATHS = 2  # at one update, after which a group of several is split
NEAR = 2  # updates: deaths so close to each other are at the same place
# times as many deaths at different places, without a checkpoint between them, are the points' fault
# too: memory runs out
ANYWHERE = 4


@dataclass(frozen=True)
class Attempt:
    """A group to be trained, and the workers that died of it: `deaths` at update `place`,
    `all_deaths` since it went on from `came`.
    """

    group: Group
    deaths: int = 0
    place: int = 0
    all_deaths: int = 0
    came: int = 0

    @functools.cached_property
    def key(self) -> str:
        return set_up(self.group.points[0].config).group_key

    def of(self, points: Sequence[Point], ending: str) -> Attempt:
        """The same with fewer points."""
        share = len(points) / len(self.group.points)
        return Attempt(
            replace(
                self.group,
                name=self.group.name + ending,
                points=tuple(points),
                cost=self.group.cost * share,
            )
        )

    def halves(self) -> list[Attempt]:
        points = self.group.points
        return [self.of(points[: len(points) // 2], "a"), self.of(points[len(points) // 2 :], "b")]


class Tries:
    """What is to be trained next.

    Groups come from `groups` one at a time, when there is a worker for them.
    """

    def __init__(self, groups: Iterable[Group], *, deaths: int, same_failures: int) -> None:
        self.groups: Iterator[Group] | None = iter(groups)
        self.waiting: deque[Attempt] = deque()
        self.deaths, self.same_failures = deaths, same_failures
        self.failed: dict[
            str, dict[str, int]
        ] = {}  # signature of a failure -> key of a structure -> points that failed so
        self.trained: set[str] = set()  # keys of structures of which a point has a result
        self.dropped: dict[str, str] = {}  # key of a structure that is given up -> why
        self.stopped: str | None = None  # why everything is given up

    def next(self) -> Attempt | None:
        """The next group; one of a structure that has not failed yet where there is one."""
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

    # --- what came out ----------------------------------------------------------------------------

    def stored(self, attempt: Attempt) -> None:
        self.trained.add(attempt.key)
        self.dropped.pop(attempt.key, None)

    def again(self, attempt: Attempt, left: Sequence[Point]) -> None:
        """It was asked to leave, or never began."""
        if left:
            self.waiting.appendleft(
                replace(attempt, group=replace(attempt.group, points=tuple(left)))
            )

    def died(self, attempt: Attempt, left: Sequence[Point], came: int, place: int) -> bool:
        """A worker that went on from update `came` died at update `place`; whether that is the
        fault of the one point that is `left`.
        """
        deaths = attempt.deaths + 1 if abs(place - attempt.place) <= NEAR else 1
        all_deaths = attempt.all_deaths + 1 if came <= attempt.came else 1
        guilty = self.deaths if len(left) == 1 else WHOLE_DEATHS
        if left and (deaths >= guilty or all_deaths >= ANYWHERE * self.deaths):
            if len(left) == 1:
                return True
            self.split(attempt, left)
        elif left:
            self.waiting.appendleft(
                replace(
                    attempt.of(left, ""),
                    deaths=deaths,
                    place=place,
                    all_deaths=all_deaths,
                    came=max(came, attempt.came),
                )
            )
        return False

    def split(self, attempt: Attempt, left: Sequence[Point]) -> None:
        """An error or a time-out of several points, one of which is guilty."""
        self.waiting.extendleft(reversed(attempt.of(left, "").halves()))

    def failure(
        self, attempt: Attempt, told: Mapping[str, str], running: Iterable[Attempt]
    ) -> None:
        """A point alone has failed.

        The same failure of many, and no result: the structure is given up, or everything.

        Everything is given up when structures of all that is waiting or `running` have failed
        alike, or as many of them as it takes: a mistake of one cell must not keep the others from
        being trained.
        """
        signature = (
            f"{told['type']}: {re.sub(r'[0-9]+', '#', (told['message'].splitlines() or [''])[0])}"
        )
        keys = self.failed.setdefault(signature, {})
        keys[attempt.key] = keys.get(attempt.key, 0) + 1
        why = (
            f"{self.same_failures} points failed alike and none has a result ({told['type']}:"
            f" {(told['message'].splitlines() or [''])[0]})"
        )
        if attempt.key not in self.trained and keys[attempt.key] >= self.same_failures:
            self.dropped[attempt.key] = why
        others = {each.key for each in (*self.waiting, *running)} - keys.keys()
        spread = len(keys) >= self.same_failures or (self.groups is None and not others)
        if not self.trained and sum(keys.values()) >= self.same_failures and spread:
            self.stopped = why

    def given_up(self) -> list[tuple[Attempt, str]]:
        """What is not tried any more, and why: its points stay missing."""
        over = [
            (attempt, self.stopped or self.dropped[attempt.key])
            for attempt in self.waiting
            if self.stopped or attempt.key in self.dropped
        ]
        for attempt, _ in over:
            self.waiting.remove(attempt)
        return over


def told_of_death(exitcode: int, how: str, deaths: int) -> dict[str, Any]:
    """provenance.failure of a worker that died."""
    times = f", {deaths} times" if deaths > 1 else ""
    hint = "; out of memory is the usual cause of SIGKILL" if exitcode == -9 else ""
    return {
        "type": "WorkerDied",
        "message": f"the worker process died ({how}){times}{hint}",
        "traceback": "",
    }
