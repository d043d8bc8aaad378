"""Which launch trains which point when several share a study's folder, on one machine or many.

outputs/NAME/leases/ID.N      a lease, created by exactly one launch (O_EXCL); its text names the
                              owner. The highest N counts
outputs/NAME/leases/OWNER     the owner's heartbeat: how long it may stay silent, and a counter

An owner is lost when its process has ended (same machine), or when its counter has not moved for as
long as the owner itself allowed. The observer measures that with its own monotonic clock; clocks of
two machines are never compared. A lost owner's lease N is not removed, which two launches could do
at once, but followed by N + 1. Losing a lease does no harm: a point's numbers do not depend on who
trains it, and it is stored whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

from study.machine.identity import has_ended, machine_id, start_time
from study.store import Store

BEATS = 6  # heartbeats in the time after which a silent launch is lost
STUDY = "study.json"  # leased for a moment by whoever writes it
POLL_SECONDS = 0.1  # while waiting for a lease
OWNER = re.compile(r"[A-Za-z0-9_-]{1,200}")


class Leases:
    """The leases of one launch, and those of others as far as it can see them.

    Use as a context manager: it sends heartbeats while it is open and then releases every lease.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float,
        *,
        host: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder`: of the study. `seconds`: that this launch may stay silent before it is lost."""
        self.folder, self.seconds, self.clock = folder / "leases", seconds, clock
        self.host = machine_id() if host is None else host
        self.id, pid = secrets.token_hex(4), os.getpid()
        self.owner = f"{self.host or 'unknown'}-{pid}-{start_time(pid) or 0}-{self.id}"
        self.held: dict[str, Path] = {}
        self.seen: dict[str, tuple[object, float]] = {}  # owner -> (last heartbeat, since when)
        self.stop, self.count = threading.Event(), 0
        self.thread = threading.Thread(target=self._keep_beating, daemon=True)

    def __enter__(self) -> Leases:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.beat()
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop.set()
        self.thread.join()
        self.release(list(self.held))
        with contextlib.suppress(OSError):
            self._remove_lost()
            (self.folder / self.owner).unlink(missing_ok=True)

    # --- this launch's leases ---------------------------------------------------------------------

    def take(self, name: str) -> bool:
        """Take a lease; False if an owner that is not lost holds it."""
        if name in self.held:
            return True
        number, holder = self._current(name)
        if holder is not None and not self.lost(holder):
            return False
        path = self.folder / f"{name}.{number + 1}"
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:  # another launch was faster
            return False
        self.held[name] = path
        try:
            os.write(descriptor, self.owner.encode())
        finally:
            os.close(descriptor)
        if not self.mine(name):  # number + 1 was followed and removed before: another one counts
            self.release([name])
            return False
        for earlier in range(number + 1):  # of lost owners
            (self.folder / f"{name}.{earlier}").unlink(missing_ok=True)
        return True

    def mine(self, name: str) -> bool:
        """Whether this launch still holds a lease. Others take it over if this process was
        suspended for too long.
        """
        return name in self.held and self._current(name)[1] == self.owner

    def release(self, names: Iterable[str]) -> None:
        """Give leases back, except those that others have taken over.

        A file that cannot be removed does no harm: without heartbeats its owner is lost soon.
        """
        for name in names:
            path = self.held.pop(name, None)
            if path is not None:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Hold a lease; wait for it if necessary: everybody holds it for a moment only."""
        while not self.take(name):
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            self.release([name])

    def beat(self) -> None:
        self.count += 1
        # If the disk is full, this launch may be taken for lost, which does no harm.
        with contextlib.suppress(OSError):
            (self.folder / self.owner).write_text(f"{self.seconds} {self.count}")

    def _keep_beating(self) -> None:
        while not self.stop.wait(self.seconds / BEATS):
            self.beat()

    # --- other launches' leases -------------------------------------------------------------------

    def holders(self) -> dict[str, str]:
        """{name: owner} of all current leases, lost owners included."""
        names = {path.name.rpartition(".")[0] for path in self._files()}
        found = ((name, self._current(name)[1]) for name in names)
        return {name: holder for name, holder in found if holder is not None}

    def busy(self) -> set[str]:
        """Names leased by other owners that are not lost."""
        return {
            name
            for name, holder in self.holders().items()
            if holder != self.owner and not self.lost(holder)
        }

    def free(self, names: Iterable[str]) -> bool:
        """Whether any of these is not leased, or leased by a lost owner."""
        holders = self.holders()
        return any((holder := holders.get(name)) is None or self.lost(holder) for name in names)

    def lost(self, owner: str) -> bool:
        """Whether an owner has ended, or sent no heartbeat for as long as it announced."""
        if owner == self.owner:
            return False
        host, pid, since, *_ = f"{owner}---".split("-")
        if pid.isdigit() and has_ended(self.host, host, int(pid), since):
            return True
        try:
            beat = _text(self.folder / owner) if OWNER.fullmatch(owner) else ""
        except OSError:
            beat = ""
        before, now = self.seen.get(owner), self.clock()
        if before is None or before[0] != beat:
            self.seen[owner] = before = (beat, now)
        announced = re.match(r"[0-9]{1,9}(\.[0-9]*)?(?= )", beat)
        return now - before[1] > (float(announced[0]) if announced else self.seconds)

    def _current(self, name: str) -> tuple[int, str | None]:
        """(number, owner) of the lease that counts; (-1, None) if there is none."""
        while True:
            numbers = [
                number
                for path in self.folder.glob(f"{name}.*")
                if (number := _number(path.name)) is not None and path.name == f"{name}.{number}"
            ]
            if not numbers:
                return -1, None
            path = self.folder / f"{name}.{max(numbers)}"
            # Missing if it was released or followed meanwhile: look again. Empty if its owner has
            # not signed it yet: then its own name stands for the owner.
            with contextlib.suppress(FileNotFoundError):
                return max(numbers), _text(path) or path.name

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [path for path in self.folder.iterdir() if _number(path.name) is not None]

    def _remove_lost(self) -> None:
        """Remove leases and heartbeats of lost owners, which nobody else removes."""
        for path in self._files():
            with contextlib.suppress(OSError):
                if self.lost(_text(path) or path.name):
                    path.unlink(missing_ok=True)
        for path in self.folder.iterdir():
            if path.name.count("-") == 3 and self.lost(path.name):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


class _Point(Protocol):
    @property
    def id(self) -> str: ...


class _Group(Protocol):
    """A study.interfaces.Group, which this room must not import: it needs torch."""

    @property
    def points(self) -> Sequence[_Point]: ...

    def only(self, points: Iterable[Any], /) -> Any: ...


SomeGroup = TypeVar("SomeGroup", bound=_Group)


def claim(
    group: SomeGroup, leases: Leases, store: Store, versions: Mapping[str, object]
) -> SomeGroup | None:
    """Take leases on the points of a group that nobody else holds and that are unchanged since
    `versions`; the group of these points, None if there are none.
    """
    taken = [point for point in group.points if leases.take(point.id)]
    # Only now: once a point is leased, nobody else stores it.
    free = [point for point in taken if store.version(point.id) == versions.get(point.id)]
    leases.release(point.id for point in taken if point not in free)
    some: SomeGroup | None = group.only(free)
    return some


def _number(name: str) -> int | None:
    """N of a lease's file name ID.N, in the form that this module writes; None for other files."""
    found = re.fullmatch(r".+\.(0|[1-9][0-9]{0,17})", name, re.ASCII | re.DOTALL)
    return int(found[1]) if found else None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
