"""Runs of Weights & Biases as they lie on disk, finished or not; nothing is sent or asked for.

A run's .wandb file is read by wandb's own reader, which has no Python API: what `wandb leet inspect
--json` runs, without the second that the Python of that command takes for each run.
"""

from __future__ import annotations

import concurrent.futures
import functools
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from study.adopt.source import Source, digest_of, flattened
from study.adopt.table import plain
from study.records import StudyError
from study.store.wandb_runs import package

AT_ONCE = 4  # readers side by side
SECONDS = 120  # that one may take
OWN = "_"  # first letter of what wandb logs by itself


def runs_in(folder: Path) -> list[Path]:
    """The .wandb files of a folder: of runs in it, in wandb/ in it, or of the run that it is."""
    return sorted(
        path
        for place in ("*.wandb", "*run-*/*.wandb", "wandb/*run-*/*.wandb")
        for path in folder.glob(place)
        if not path.parent.is_symlink()  # wandb/latest-run is one of the others
    )


def of_files(files: Sequence[Path]) -> Source:
    """The runs in these files: config, summary, history and how each ended."""
    package()
    from wandb.util import get_core_path

    read = functools.partial(_read, str(get_core_path()))
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        runs = list(pool.map(read, files))
    rows = [
        {
            **{key: plain(_number(value)) for key, value in run["summary"].items()},
            **{key: _level(value) for key, value in run["config"].items()},
            "status": run["state"],
        }
        for run in runs
    ]
    history = [{"run": at, **item} for at, run in enumerate(runs) for item in run["history"]]
    settings = list(dict.fromkeys(key for run in runs for key in run["config"]))
    return Source(
        files[0].resolve().parent.parent.name,
        "W&B",
        digest_of(path.read_bytes() for path in files),
        pd.DataFrame(rows, dtype=object).astype(object),
        [f"run {path.stem.removeprefix('run-')}" for path in files],
        pd.DataFrame(history) if history else None,
        settings,
    )


def _read(reader: str, file: Path) -> dict[str, Any]:
    """{config, summary, history, state} of one run; later records replace earlier ones."""
    options = ["--no-observability", "--json", "--run-file", str(file), str(file.parent.parent)]
    try:
        done = subprocess.run(
            [reader, "leet", "inspect", *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=True,
        )
        records = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        said = getattr(error, "stderr", b"") or str(error).encode()
        why = said.decode(errors="replace").strip().splitlines()[-1:]
        raise StudyError(
            f"{file.name}: wandb cannot read this run ({''.join(why)}); its reader came with wandb"
            " 0.31"
        ) from error
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    history, state = [], "unfinished"
    for record in records:
        content = record.get(record.get("type"), {})
        if record.get("type") == "run":
            content = content.get("config", {})
        if record.get("type") in ("run", "config"):
            config |= flattened(content.get("update", {}))
            for key in content.get("remove", []):
                config.pop(str(key), None)
        elif record.get("type") == "summary":
            summary |= flattened(content.get("update", {}))
        elif record.get("type") == "history":
            item = flattened(content.get("item", {}))
            history.append({key: _number(value) for key, value in item.items()})
        elif record.get("type") == "exit":
            state = "finished" if content.get("exit_code", 0) == 0 else "crashed"
    return {
        "config": {key: value for key, value in config.items() if not key.startswith(OWN)},
        "summary": {key: value for key, value in summary.items() if not key.startswith(OWN)},
        "history": history,
        "state": state,
    }


def _number(value: object) -> object:
    """wandb writes what JSON has no number for as text."""
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value


def _level(value: object) -> object:
    """A setting; that something is set to nothing is a level as well."""
    return "none" if value is None else plain(value)
