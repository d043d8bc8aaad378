"""Log a study's report and points table as artifacts of W&B: python -m study.artifacts DIR.

Nothing happens if the study was never tracked. Mode (online, offline) and project are those of the
points logged last. Offline, the files wait in the study's wandb/ folder for `wandb sync`, which
must be started in the same folder as this command, because their paths are relative.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from study.program import command
from study.records import StudyError
from study.store import Store
from study.store.wandb_runs import (
    LOGGED,
    SENT,
    disabled,
    entries,
    fast,
    key_configured,
    leave_agent,
    note,
    package,
    run_id,
)

# File -> end of the artifact's name, its type.
ARTIFACTS = {"report.html": ("report", "report"), "points.parquet": ("points", "dataset")}


def log_artifacts(folder: Path) -> str:
    """Log the files that exist, as run STUDY-report, unless they are logged already.

    Returns what was done in words, "" if the study is not tracked. Raises StudyError.
    """
    if disabled():
        return ""
    last = _last(folder / "wandb" / LOGGED)
    files = [folder / name for name in ARTIFACTS if (folder / name).is_file()]
    if last is None or not files:
        return ""
    mode, where = last
    digest = hashlib.sha256(
        b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)
    ).hexdigest()
    ledger = folder / "wandb" / SENT
    if any(
        entry in entries(ledger) for entry in ([digest, mode, where], [digest, "online", where])
    ):
        return f"W&B: report and points are logged already ({mode})"
    _log(folder, files, mode, where)
    note(ledger, [[digest, mode, where]])
    return f"W&B: {' and '.join(path.name for path in files)} logged as artifacts ({mode})"


def _log(folder: Path, files: Sequence[Path], mode: str, where: str) -> None:
    # wandb copies what it sends; the copies belong to the study, not to the user's home folder.
    for name, place in (("WANDB_DATA_DIR", "data"), ("WANDB_CACHE_DIR", "cache")):
        os.environ.setdefault(name, str((folder / "wandb" / place).resolve()))
    leave_agent()
    wandb = package()
    name = str(Store(folder).study().get("name", folder.name))
    if mode == "online" and not key_configured(wandb.setup(wandb.Settings(silent=True)).settings):
        raise StudyError(
            "the study was tracked online, but no key is configured now; run `wandb login` or set"
            " WANDB_API_KEY"
        )
    entity, _, project = where.rpartition("/")
    try:
        run = wandb.init(
            project=project,
            entity=entity or None,
            dir=str(folder),
            id=run_id(name, "report"),
            name=f"{name} report",
            group=name,
            job_type="report",
            resume="allow" if mode == "online" else None,
            reinit="finish_previous",
            settings=fast(mode, _patience(folder), program="python -m reports"),
        )
        for path in files:
            end, kind = ARTIFACTS[path.name]
            artifact = wandb.Artifact(run_id(name, end), type=kind)
            artifact.add_file(str(path))
            # The manifest sends the paths of files: relative ones reveal nothing of this machine.
            for entry in artifact.manifest.entries.values():
                entry.local_path = os.path.relpath(str(entry.local_path))
            run.log_artifact(artifact)
        run.finish(exit_code=0)
    except (wandb.Error, TimeoutError, OSError, ValueError) as error:
        raise StudyError(
            f"{' '.join(str(error).split())}. Nothing is lost: the files stay in the study's folder"
        ) from error


def _last(ledger: Path) -> tuple[str, str] | None:
    """(mode, project with its entity) of the point that was logged last."""
    noted = entries(ledger)
    return (noted[-1][1], noted[-1][2]) if noted else None


def _patience(folder: Path) -> float:
    """Seconds a server may take, as configured for the newest point."""
    store = Store(folder)
    try:
        newest = max(store.ids(), key=lambda id: (store.version(id) or (0, 0))[1])
        return float(store.config(newest)["tracker"]["wandb"]["patience"])
    except (StudyError, KeyError, TypeError, ValueError):
        return 30.0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=command("study.artifacts"), description=str(__doc__).splitlines()[0]
    )
    made.add_argument(
        "folder", type=Path, metavar="DIR", help="folder of a study, such as outputs/digits"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, even if W&B fails, since results never depend on it."""
    options = parser().parse_args(arguments)
    try:
        message = log_artifacts(options.folder)
    except StudyError as error:
        print(f"warning: W&B did not get the artifacts of this study ({error})", file=sys.stderr)
        return 0
    if message:
        print(message)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        # Otherwise the garbage collector visits everything that was imported once more at exit,
        # which takes most of a second.
        gc.freeze()
