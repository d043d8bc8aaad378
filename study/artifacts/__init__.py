"""Log a study's report and points table as artifacts of W&B: python -m study.artifacts DIR.

Nothing happens if the study was never tracked. Mode (online, offline) and project are those of the
points logged last. Offline, the files wait in the study's wandb/ folder for `python -m study.sync`.
The paths in there are relative to the study's folder: a `wandb sync` by hand must be started there.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from study import __version__
from study.artifacts.shown import factors_of, parallel_coordinates, points_shown, profile_shown
from study.program import command
from study.records import StudyError
from study.store import Store
from study.store.run_addresses import note
from study.store.wandb_runs import (
    LOGGED,
    LOST,
    SENT,
    arrived,
    disabled,
    entries,
    fast,
    files_of,
    key_configured,
    leave_agent,
    names,
    package,
    run_id,
)

# File -> end of the artifact's name, its type, what it is.
ARTIFACTS = {
    "report.html": ("report", "report", "The report: one page, readable without the tool"),
    "points.parquet": ("points", "dataset", "One row per point: levels, scores, verdicts"),
}
CODE = (".py", ".yaml")
PATIENCE = 30.0  # seconds, for points that were stored without the tracker's settings


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
    modes = [
        kept for what, kept, place in entries(ledger) if (files_of(what), place) == (digest, where)
    ]
    if "online" in modes or (mode in modes and modes[-1] != LOST):
        return f"W&B: report and points are logged already ({mode})"
    made = _log(folder.resolve(), files, mode, where)
    note(ledger, [["+".join([digest, *made]), mode, where]])
    return f"W&B: {' and '.join(path.name for path in files)} logged as artifacts ({mode})"


def _log(folder: Path, files: Sequence[Path], mode: str, where: str) -> list[str]:
    """["NAME:DIGEST", …] of the artifacts, by which a server can be asked whether it has them."""
    # wandb copies what it sends; the copies belong to the study, not to the user's home folder.
    for name, place in (("WANDB_DATA_DIR", "data"), ("WANDB_CACHE_DIR", "cache")):
        os.environ.setdefault(name, str(folder / "wandb" / place))
    leave_agent()
    wandb = package()
    store, tracker = Store(folder), _tracker(folder)
    study = store.study()
    name = str(study.get("name", folder.name))
    entity, _, project = where.rpartition("/")
    about = {"study": name, "points": len(store.ids()), "version": __version__}
    about |= {key: study[key] for key in ("title", "question") if study.get(key)}
    made, patience = [], _patience(tracker)
    code = _code(tracker.get("log_code"))
    try:
        # wandb's service looks for files from where it was started: from the study's folder, which
        # the manifests' paths are relative to.
        with contextlib.chdir(folder):
            if mode == "online":
                _check_key(wandb)
            run = wandb.init(
                project=project,
                entity=entity or None,
                dir=str(folder),
                id=run_id(name, "report"),
                name=f"{name} report",
                group=tracker.get("group") or name,
                tags=names(tracker.get("tags")) or None,
                notes=tracker.get("notes") or None,
                job_type="report",
                config=about,
                resume="allow" if mode == "online" else None,
                reinit="finish_previous",
                settings=fast(mode, patience, program="python -m reports"),
            )
            shown: dict[str, Any] = {}
            for path in files:
                end, kind, text = ARTIFACTS[path.name]
                artifact = wandb.Artifact(run_id(name, end), kind, text, metadata=about)
                artifact.add_file(str(folder / path.name))
                if end == "points":
                    most, factors = wandb.Table.MAX_ROWS, factors_of(study)
                    here = folder / path.name
                    tables = {"points": points_shown(here, most)}
                    tables["profile"] = profile_shown(here, store, factors, most)
                    for table, frame in tables.items():
                        if len(frame):
                            shown[table] = wandb.Table(dataframe=frame, allow_mixed_types=True)
                            # A part of this artifact: else wandb makes one with absolute paths.
                            artifact.add(shown[table], table)
                    if (picture := parallel_coordinates(here, factors)) is not None:
                        shown["parallel_coordinates"] = wandb.Image(picture)
                else:
                    shown["report"] = wandb.Html(str(folder / path.name), inject=False)
                made.append(_send(run, artifact))
            if code:
                artifact = wandb.Artifact(
                    run_id(name, "code"), "code", f"Code from {tracker['log_code']}", metadata=about
                )
                for path, inside in code:
                    artifact.add_file(str(path), inside)
                made.append(_send(run, artifact))
            run.log(shown)
            run.finish(exit_code=0)
        if mode == "online" and not arrived(made, where, patience):
            raise StudyError("the server does not have the files that were sent")
    except (wandb.Error, TimeoutError, OSError, ValueError) as error:
        raise StudyError(
            f"{' '.join(str(error).split())}. Nothing is lost: the files stay in the study's folder"
        ) from error
    return [f"{artifact}:{digest}" for artifact, digest in made]


def _check_key(wandb: Any) -> None:
    if not key_configured(wandb.setup(wandb.Settings(silent=True)).settings):
        raise StudyError(
            "the study was tracked online, but no key is configured now; run `wandb login` or set"
            " WANDB_API_KEY"
        )


def _send(run: Any, artifact: Any) -> tuple[str, str]:
    """(name, digest) of the artifact."""
    # The manifest sends the paths of files: relative ones reveal nothing of this machine.
    for entry in artifact.manifest.entries.values():
        entry.local_path = os.path.relpath(str(entry.local_path))
    run.log_artifact(artifact)
    return artifact.name.partition(":")[0], artifact.digest


def _code(place: str | None) -> list[tuple[Path, str]]:
    """Files of tracker.wandb.log_code, and their names in the artifact."""
    if not place:
        return []
    root = Path(place).resolve()
    if not root.is_dir():
        raise StudyError(f"tracker.wandb.log_code must be a folder, got {place}")
    return list(_sources(root, root))


def _sources(folder: Path, root: Path) -> Iterator[tuple[Path, str]]:
    """Code below a folder; hidden ones, environments and results of studies are left out."""
    if (folder / "pyvenv.cfg").exists() or (folder / "study.json").exists():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__pycache__")) or path.is_symlink():
            continue
        if path.is_dir():
            yield from _sources(path, root)
        elif path.suffix in CODE:
            yield path, path.relative_to(root).as_posix()


def _last(ledger: Path) -> tuple[str, str] | None:
    """(mode, project with its entity) of the point that was logged last."""
    noted = entries(ledger)
    return (noted[-1][1], noted[-1][2]) if noted else None


def _tracker(folder: Path) -> Mapping[str, Any]:
    """The tracker's settings as configured for the newest point; {} if there are none."""
    store = Store(folder)
    try:
        newest = max(store.ids(), key=lambda id: (store.version(id) or (0, 0))[1])
        return dict(store.config(newest)["tracker"]["wandb"])
    except (StudyError, KeyError, TypeError, ValueError):
        return {}


def _patience(tracker: Mapping[str, Any]) -> float:
    """Seconds a server may take."""
    try:
        return float(tracker["patience"])
    except (KeyError, TypeError, ValueError):
        return PATIENCE


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
