"""Upload what a study's trackers wrote offline: python -m study.sync DIR [--seconds 60].

`wandb sync` does the work and marks what it has sent. Of every run its newest files are taken,
those noted as logged, and none that is online already; so that running it again sends nothing
twice. It ends when nothing has arrived for `seconds`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.machine.orphans import end
from study.records import StudyError
from study.store import Store
from study.store.wandb_runs import LOGGED, SENT, entries, key_configured, note, package, run_id

CHUNK = 50  # runs that one `wandb sync` is given
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Waiting:
    """An offline run, and the lines to be noted where it has arrived."""

    folder: Path
    ledger: Path
    notes: Sequence[Sequence[str]]

    @property
    def sent(self) -> bool:
        return any(self.folder.glob("*.wandb.synced"))


def waiting(study: Path) -> list[Waiting]:
    """Offline runs that are complete and not online yet, the newest files of each run."""
    newest: dict[str, Path] = {}
    for path in sorted((study / "wandb").glob("offline-run-*")):
        newest[path.name.split("-", 3)[3]] = path  # offline-run-DATE-ID, dates sort
    logged, made = (entries(study / "wandb" / name) for name in (LOGGED, SENT))
    report = run_id(str(Store(study).study().get("name", study.name)), "report")
    found = []
    for id, path in newest.items():
        ledger, noted = (
            (SENT, made)
            if id == report
            else (LOGGED, [entry for entry in logged if entry[0].split("+")[0] == id])
        )
        offline = [
            entry
            for entry in noted
            if entry[1] == "offline" and [entry[0], "online", entry[2]] not in noted
        ]
        if offline:
            found.append(
                Waiting(
                    path,
                    study / "wandb" / ledger,
                    [[entry[0], "online", entry[2]] for entry in offline],
                )
            )
    return found


def sync(study: Path, seconds: float) -> tuple[int, int]:
    """(runs uploaded, runs still waiting)."""
    left = waiting(study)
    if not left:
        return 0, 0
    _check()
    for start in range(0, len(left), CHUNK):
        chunk = [run for run in left[start : start + CHUNK] if not run.sent]
        complete = not chunk or _upload(study, chunk, seconds)
        for run in (run for run in left[start : start + CHUNK] if run.sent):
            note(run.ledger, run.notes)
        if not complete:
            break
    sent = sum(run.sent for run in left)
    return sent, len(left) - sent


def _check() -> None:
    wandb = package()
    if not key_configured(wandb.setup(wandb.Settings(silent=True)).settings):
        raise StudyError("no key is configured; `wandb login` or WANDB_API_KEY gives one")


def _upload(study: Path, chunk: Sequence[Waiting], seconds: float) -> bool:
    """Whether it ended by itself, rather than because nothing arrived any more."""
    command = [sys.executable, "-m", "wandb", "sync", *(str(run.folder) for run in chunk)]
    environment = {
        **os.environ,
        "WANDB_DIR": str(study.resolve()),
        "WANDB_SILENT": "true",
    }  # its logs belong to the study
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    arrived, since = 0, time.monotonic()
    try:
        while process.poll() is None:
            if (now := sum(run.sent for run in chunk)) > arrived:
                arrived, since = now, time.monotonic()
            if time.monotonic() - since > seconds:
                return False
            time.sleep(LOOK_SECONDS)
        return True
    finally:
        if process.poll() is None:
            end(process)
        process.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 everything is online, 1 something still waits, 2 nothing could be tried."""
    parser = argparse.ArgumentParser(
        prog="python -m study.sync", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="folder of a study, such as outputs/digits"
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=60.0,
        help="without any arrival, after which it gives up (60)",
    )
    asked: Any = parser.parse_args(arguments)
    try:
        sent, left = sync(asked.folder, asked.seconds)
    except (StudyError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        f"W&B: {sent} runs uploaded, {left} still waiting"
        if sent or left
        else "W&B: no offline run waits"
    )
    if left:
        print(
            f"error: {left} runs did not arrive (no server, or nothing arrived for"
            f" {asked.seconds:g} s); the same command goes on",
            file=sys.stderr,
        )
    return 1 if left else 0


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 86400:
        raise argparse.ArgumentTypeError(f"must be seconds above 0 and below a day, got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
