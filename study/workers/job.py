"""The files of a job: groups for some machine, and the events that it reports.

outputs/NAME/jobs/BATCH/N.json.gz   what job N trains, and which software the machine must have
outputs/NAME/jobs/BATCH/N.events    its events, one line of JSON each
"""

from __future__ import annotations

import contextlib
import gzip
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from study.interfaces import Event, Group, Point
from study.machine.provenance import code
from study.store.atomic import write_whole
from study.training.checkpoints import sources

FOLDER, ENDING, EVENTS = "jobs", ".json.gz", ".events"
FINAL = ("stored", "failed", "given up")  # events after which a job is done with their points
PROGRESS_SECONDS = 5.0  # between two progress events of a group: a shared folder is slow


@dataclass(frozen=True)
class Job:
    """Everything the machine that trains needs to know.

    `here`: the folder that relative paths of pieces start from. `paths`: folders of the user's own
    pieces. `local`: node of the executor that trains there. `versions`: of stored points when the
    job was planned. `command`: instead of groups, the arguments of a `python -m study` that takes
    part in a search.
    """

    study: str
    here: str
    paths: Sequence[str]
    local: Mapping[str, Any]
    device: str
    lease_seconds: float
    software: Mapping[str, str]
    versions: Mapping[str, Any]
    groups: Sequence[Group]
    command: Sequence[str] = ()

    @property
    def ids(self) -> list[str]:
        return [point.id for group in self.groups for point in group.points]

    def write(self, path: Path) -> None:
        text = json.dumps(asdict(self), allow_nan=False).encode()

        def write(partial: Path) -> None:
            # Private: the command of a search may contain a database's password.
            partial.touch(mode=0o600)
            partial.write_bytes(gzip.compress(text, 5))

        write_whole(path, write)

    @classmethod
    def read(cls, path: Path) -> Job:
        content = json.loads(gzip.decompress(path.read_bytes()))
        groups = [
            Group(group["name"], tuple(Point(**point) for point in group["points"]), group["cost"])
            for group in content.pop("groups")
        ]
        versions = {
            id: None if version is None else tuple(version)
            for id, version in content.pop("versions").items()
        }
        command = tuple(content.pop("command"))
        return cls(**content, command=command, groups=groups, versions=versions)


class EventLog:
    """A job's file of events. Progress is thinned out, everything else is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = dict[str, float]()  # group -> time of its last progress event

    def write(self, event: Event) -> None:
        if event["event"] == "progress":
            now, group = time.monotonic(), event.get("group", "")
            if now - self.written.get(group, -PROGRESS_SECONDS) < PROGRESS_SECONDS:
                return
            self.written[group] = now
        # A lost event does no harm: results are in the store.
        with contextlib.suppress(OSError), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


def events_path(job: Path) -> Path:
    """The file of events that belongs to a job's file."""
    return job.with_name(job.name.removesuffix(ENDING) + EVENTS)


def software() -> dict[str, str]:
    """What two machines must have in common for equal numbers: versions, and this package's
    code.
    """
    return {**code()["versions"], "code of study/": sources(())}


def differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """How the software of another machine differs from ours, in words; "" if it does not."""
    return ", ".join(
        f"{name} {theirs.get(name, 'missing')} (here {version})"
        for name, version in ours.items()
        if theirs.get(name) != version
    )
