"""Which launch trains which point, where several share a study's folder, also from several
machines.

outputs/NAME/leases/ID.N      a lease, created by exactly one launch (O_EXCL); its text names the
                              owner. The highest N counts
outputs/NAME/leases/OWNER     the owner's heartbeat: how long it may stay silent, and a counter

An owner is lost when its process is gone (same machine), or when its counter has not moved for as
long as the owner itself allowed, by the observer's own monotonic clock: clocks of two machines are
never compared. A lost owner's lease N is not removed, which two launches could do at once, but
followed by N + 1. Losing a lease does no harm: a point's numbers are the same whoever trains it,
and it is stored whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from study.interfaces import Group
from study.machine.identity import has_ended, machine_id, start_time
from study.store import Store

BEATS = 6  # signs of life in the time after which a launch is taken for lost
STUDY = "study.json"  # leased for a moment by whoever writes it
PAUSE = 0.1  # seconds between two looks at a lease that is waited for


OWNER = re.compile(r"[A-Za-z0-9_-]{1,200}")


def _number(name: str) -> int | None:
    """N of a lease's name, written as this file writes it; None of other files."""
    found = re.fullmatch(r".+\.(0|[1-9][0-9]{0,17})", name, re.ASCII | re.DOTALL)
    return int(found[1]) if found else None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


class Leases:
    """The leases of one launch.

    Use as a context: signs of life begin and end with it, and every lease is given back.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float,
        *,
        host: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.seconds, self.clock = folder / "leases", seconds, clock
        self.host = machine_id() if host is None else host
        self.id = secrets.token_hex(4)
        self.owner = (
            f"{self.host or 'unknown'}-{os.getpid()}-{start_time(os.getpid()) or 0}-{self.id}"
        )
        self.held: dict[str, Path] = {}
        self.seen: dict[
            str, tuple[object, float]
        ] = {}  # what an owner's sign of life said, and since when
        self.stop, self.count = threading.Event(), 0
        self.thread = threading.Thread(target=self._live, daemon=True)

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
            self._tidy()
            (self.folder / self.owner).unlink(missing_ok=True)

    # --- our own ----------------------------------------------------------------------------------

    def take(self, name: str) -> bool:
        """Take `name`; False if somebody has it who is not lost."""
        if name in self.held:
            return True
        number, holder = self._current(name)
        if holder is not None and not self.lost(holder):
            return False
        path = self.folder / f"{name}.{number + 1}"
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:  # somebody was faster
            return False
        self.held[name] = path
        try:
            os.write(descriptor, self.owner.encode())
        finally:
            os.close(descriptor)
        if not self.mine(name):  # what we followed was gone already, and somebody is ahead of us
            self.release([name])
            return False
        for before in range(number + 1):  # of owners that are lost
            (self.folder / f"{name}.{before}").unlink(missing_ok=True)
        return True

    def mine(self, name: str) -> bool:
        """Whether nobody has taken over a lease of ours, as happens to a launch that stood still
        for too long.
        """
        return name in self.held and self._current(name)[1] == self.owner

    def release(self, names: Iterable[str]) -> None:
        """Give leases back; those that were taken over are the others'.

        What cannot be taken away is silent from now on.
        """
        for name in names:
            path = self.held.pop(name, None)
            if path is not None:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Wait for a lease that everybody holds for a moment only."""
        while not self.take(name):
            time.sleep(PAUSE)
        try:
            yield
        finally:
            self.release([name])

    def beat(self) -> None:
        self.count += 1
        with contextlib.suppress(
            OSError
        ):  # a full disk: we may be taken for lost, which does no harm
            (self.folder / self.owner).write_text(f"{self.seconds} {self.count}")

    def _live(self) -> None:
        while not self.stop.wait(self.seconds / BEATS):
            self.beat()

    # --- the others' ------------------------------------------------------------------------------

    def holders(self) -> dict[str, str]:
        """{name: owner} of what is leased now, lost owners included."""
        names = {path.name.rpartition(".")[0] for path in self._leases()}
        found = ((name, self._current(name)[1]) for name in names)
        return {name: holder for name, holder in found if holder is not None}

    def busy(self) -> set[str]:
        """What others hold who are not lost."""
        return {
            name
            for name, holder in self.holders().items()
            if holder != self.owner and not self.lost(holder)
        }

    def lost(self, owner: str) -> bool:
        """Whether an owner is gone, or has given no sign of life for as long as it said."""
        if owner == self.owner:
            return False
        host, pid, since, *_ = f"{owner}---".split("-")
        if pid.isdigit() and has_ended(self.host, host, int(pid), since):
            return True
        try:
            told = _text(self.folder / owner) if OWNER.fullmatch(owner) else ""
        except OSError:
            told = ""
        before, now = self.seen.get(owner), self.clock()
        if before is None or before[0] != told:
            self.seen[owner] = before = (told, now)
        patience = re.match(r"[0-9]{1,9}(\.[0-9]*)?(?= )", told)
        return now - before[1] > (float(patience[0]) if patience else self.seconds)

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
            with contextlib.suppress(FileNotFoundError):  # given back or followed since: look again
                return (
                    max(numbers),
                    _text(path) or path.name,
                )  # not yet signed: nobody is known by this name

    def _leases(self) -> list[Path]:
        return (
            [path for path in self.folder.iterdir() if _number(path.name) is not None]
            if self.folder.is_dir()
            else []
        )

    def _tidy(self) -> None:
        """Leases and signs of life of owners that are lost: nobody else takes them away."""
        for path in self._leases():
            with contextlib.suppress(OSError):
                if self.lost(_text(path) or path.name):
                    path.unlink(missing_ok=True)
        for path in self.folder.iterdir():
            if path.name.count("-") == 3 and self.lost(path.name):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def claim(
    group: Group, leases: Leases, store: Store, versions: Mapping[str, object]
) -> Group | None:
    """The points of a group that nobody else has and nobody has stored since `versions`, now taken;
    None if there are none.
    """
    mine = [point for point in group.points if leases.take(point.id)]
    free = [
        point for point in mine if store.version(point.id) == versions.get(point.id)
    ]  # looked at only now: nobody stores what we hold
    leases.release(point.id for point in mine if point not in free)
    return group.only(free)
