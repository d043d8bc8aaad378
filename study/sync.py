"""Upload what a study's trackers logged offline: python -m study.sync DIR [--seconds 60].

`wandb sync` does the work and marks what it has sent. Only complete runs that are not online yet
are sent, of each its newest files, so that running this again sends nothing twice. It gives up when
nothing has arrived for `seconds`. wandb calls a run synced even if the files of its artifacts were
not found; therefore the server is asked whether it has the artifacts before they are noted as sent.
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
from study.program import command
from study.records import StudyError
from study.store import Store
from study.store.run_addresses import note
from study.store.wandb_runs import (
    LOGGED,
    LOST,
    SENT,
    arrived,
    artifacts_of,
    entries,
    key_configured,
    package,
    run_id,
)

CHUNK = 50  # runs per call of `wandb sync`
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Waiting:
    """An offline run, and the lines to add to its ledger once it has arrived."""

    folder: Path
    ledger: Path
    notes: Sequence[Sequence[str]]

    @property
    def sent(self) -> bool:
        return any(self.folder.glob("*.wandb.synced"))


def unfinished(study: Path) -> int:
    """How many offline runs lie there that no ledger has: their points are in training, a launch
    was interrupted at them, or they are not this study's.
    """
    noted = {entry[0].split("+")[0] for entry in entries(study / "wandb" / LOGGED)}
    report = run_id(str(Store(study).study().get("name", study.name)), "report")
    there = [
        (path.name.split("-", 3)[3], any(path.glob("*.wandb.synced")))
        for path in (study / "wandb").glob("offline-run-*")
    ]
    return len({id for id, sent in there if not sent and id not in {*noted, report}})


def waiting(study: Path) -> list[Waiting]:
    """Complete offline runs that are not online yet, each with its newest files."""
    newest: dict[str, Path] = {}
    for path in sorted((study / "wandb").glob("offline-run-*")):
        newest[path.name.split("-", 3)[3]] = path  # offline-run-DATE-ID; dates sort
    logged, artifacts = (entries(study / "wandb" / name) for name in (LOGGED, SENT))
    report = run_id(str(Store(study).study().get("name", study.name)), "report")
    found = []
    for id, path in newest.items():
        ledger, noted = SENT, artifacts[-1:]  # the newest files, which are the last ones noted
        if id != report:
            ledger, noted = LOGGED, [entry for entry in logged if entry[0].split("+")[0] == id]
        online = [
            [what, "online", project]
            for what, mode, project in noted
            if mode == "offline" and [what, "online", project] not in noted
        ]
        if online:
            found.append(Waiting(path, study / "wandb" / ledger, online))
    return found


def sync(study: Path, seconds: float) -> tuple[int, int]:
    """Upload what is offline; (runs uploaded, runs still waiting)."""
    left = waiting(study)
    if not left:
        return 0, 0
    _check_key()
    sent = 0
    for start in range(0, len(left), CHUNK):
        chunk = [run for run in left[start : start + CHUNK] if not run.sent]
        complete = not chunk or _upload(study, chunk, seconds)
        for run in (run for run in left[start : start + CHUNK] if run.sent):
            if run.ledger.name == SENT and not all(
                arrived(artifacts_of(what), where, seconds) for what, _, where in run.notes
            ):
                note(run.ledger, [[what, LOST, where] for what, _, where in run.notes])
            else:
                note(run.ledger, run.notes)
                sent += 1
        if not complete:
            break
    return sent, sum(not run.sent for run in left)


def lost(study: Path) -> bool:
    """Whether the files logged last were uploaded and did not arrive."""
    noted = entries(study / "wandb" / SENT)
    return bool(noted) and noted[-1][1] == LOST


def _check_key() -> None:
    wandb = package()
    if not key_configured(wandb.setup(wandb.Settings(silent=True)).settings):
        raise StudyError("no key is configured; run `wandb login` or set WANDB_API_KEY")


def _upload(study: Path, chunk: Sequence[Waiting], seconds: float) -> bool:
    """Whether `wandb sync` finished; False if it was killed because nothing arrived any more."""
    runs = [str(run.folder.resolve()) for run in chunk]
    command = [sys.executable, "-P", "-m", "wandb", "sync", *runs]
    # WANDB_DIR: its logs belong to the study.
    environment = {**os.environ, "WANDB_DIR": str(study.resolve()), "WANDB_SILENT": "true"}
    environment.pop("WANDB_SERVICE", None)  # of this process, which runs in another folder
    process = subprocess.Popen(
        command,
        cwd=study,  # the paths of artifacts' files are relative to it
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    there, since = 0, time.monotonic()
    try:
        while process.poll() is None:
            if (now := sum(run.sent for run in chunk)) > there:
                there, since = now, time.monotonic()
            if time.monotonic() - since > seconds:
                return False
            time.sleep(POLL_SECONDS)
        return True
    finally:
        if process.poll() is None:
            end(process)
        process.wait()


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=command("study.sync"), description=str(__doc__).splitlines()[0]
    )
    made.add_argument(
        "folder", type=Path, metavar="DIR", help="folder of a study, such as outputs/digits"
    )
    made.add_argument(
        "--seconds",
        type=_seconds,
        default=60.0,
        help="give up when nothing has arrived for so long (60)",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 if everything is online, 1 if runs still wait, 2 if nothing could be tried."""
    options: Any = parser().parse_args(arguments)
    try:
        sent, left = sync(options.folder, options.seconds)
    except (StudyError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    incomplete = unfinished(options.folder)
    print(
        f"W&B: {sent} runs uploaded, {left} still waiting"
        if sent or left
        else "W&B: no complete offline runs are waiting"
        if incomplete
        else "W&B: no offline runs are waiting"
    )
    if incomplete:
        runs = "1 offline run is" if incomplete == 1 else f"{incomplete} offline runs are"
        print(
            f"W&B: {runs} not complete: the point is in training, or its launch was interrupted;"
            " run the study again to log what is missing"
        )
    if left:
        print(
            f"error: {left} runs did not arrive (no server, or nothing arrived for"
            f" {options.seconds:g} s); run the same command again to continue",
            file=sys.stderr,
        )
    if gone := lost(options.folder):
        print(
            "error: the server does not have the report's files; run"
            f" `{command('study.artifacts', str(options.folder))}` and then this command again",
            file=sys.stderr,
        )
    return 1 if left or gone else 0


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 86400:
        raise argparse.ArgumentTypeError(f"must be seconds above 0 and below a day, got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
