"""Jobs that were queued: what is known of each, and what their batch's file keeps."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.interfaces import Event, Group
from study.store.atomic import write_whole
from study.workers.job import FOLDER, events_path

BATCH = "batch.json"


@dataclass(frozen=True)
class JobEnd:
    """How a job ended, in its executor's words. `final`: it was ended on purpose and is not queued
    again.
    """

    why: str
    final: bool = False


@dataclass
class QueuedJob:
    """A queued job, as its events describe it.

    `name`: the executor's. `path`: its file. `ids`: points that it has not finished. `tries`: how
    often it has ended in a row without any gain. `read`: bytes of its events that were received.
    `owner`: of its leases.
    """

    name: str
    path: Path
    ids: set[str]
    versions: Mapping[str, Any]
    tries: int = 0
    read: int = 0
    over: bool = False
    gained: bool = False
    refused: str | None = None
    stopped: str | None = None
    owner: str = ""
    groups: Sequence[Group] = ()

    def receive(self) -> list[Event]:
        """Its new events; an incomplete last line is left for later."""
        try:
            with events_path(self.path).open("rb") as file:
                file.seek(self.read)
                data = file.read()
        except OSError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        self.read += len(complete)
        return [json.loads(line) for line in complete.splitlines()]


def write_batch(folder: Path, executor: str, names: Sequence[str]) -> None:
    """Note which jobs of which executor the files of a batch became."""
    text = json.dumps({"executor": executor, "jobs": names})
    write_whole(folder / BATCH, lambda path: path.write_text(text))


def batches(folder: Path, executor: str) -> Iterator[tuple[Path, list[str]]]:
    """(folder, names of its jobs) of every batch that an executor has queued for a study."""
    for path in (folder / FOLDER).glob(f"*/{BATCH}"):
        with contextlib.suppress(OSError, ValueError):
            content = json.loads(path.read_text())
            if content["executor"] == executor:
                yield path.parent, content["jobs"]
