"""Jobs of a Hydra multirun: what each was given, and the file of results that each wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from study.adopt.source import Source, digest_of, flattened
from study.adopt.table import of_file, plain
from study.records import StudyError

# Files of results that are looked for where none is named, the first that any job has.
NAMES = ("results", "result", "metrics", "optimization_results")
ENDINGS = ("json", "yaml", "yml", "csv")
OPTUNA = "optimization_results.yaml"  # a sweeper's own, beside the jobs: it has the best one alone


def jobs_in(folder: Path) -> list[Path]:
    """Folders of jobs, at any depth below (multirun/DATE/TIME/N), in the order they were started.

    A job's own results may lie beside its .hydra folder.
    """
    found = (path.parent.parent for path in folder.glob("**/.hydra/overrides.yaml"))
    return sorted(found, key=lambda path: _in_order(path.relative_to(folder)))


def of_folder(folder: Path, jobs: Sequence[Path], results: str | None) -> Source:
    """The jobs with their results; a job without the file is a lost run."""
    file = results if results is not None else _results_file(folder, jobs)
    there = [(job / file).is_file() for job in jobs]
    if not any(there):
        raise StudyError(f"{folder.name}: none of its {len(jobs)} jobs has a file {file}")
    rows, settings = [], dict[str, None]()
    for job, has in zip(jobs, there, strict=True):
        given = _given(job)
        settings |= dict.fromkeys(given)
        own = _results(job / file) if has else {"status": "failed", "reason": f"wrote no {file}"}
        rows.append({**_config(job), **own, **given})
    parts = [
        path.read_bytes()
        for job, has in zip(jobs, there, strict=True)
        for path in (job / ".hydra" / "overrides.yaml", *([job / file] if has else []))
    ]
    where = [f"job {job.relative_to(folder).as_posix()}" for job in jobs]
    note = f"results are those of {file} in each job's folder"
    rows_of = pd.DataFrame(rows, dtype=object).astype(object)
    rows_of = rows_of.where(rows_of.notna(), None)
    name = folder.resolve().name
    return Source(name, "Hydra", digest_of(parts), rows_of, where, None, [*settings], (note,))


def _in_order(path: Path) -> list[tuple[int, str]]:
    """Job 10 comes after job 2."""
    return [(int(part), "") if re.fullmatch(r"\d+", part) else (-1, part) for part in path.parts]


def _results_file(folder: Path, jobs: Sequence[Path]) -> str:
    names = [f"{name}.{ending}" for name in NAMES for ending in ENDINGS]
    for name in names:
        if any((job / name).is_file() for job in jobs):
            return name
    best = next((job.parent / OPTUNA for job in jobs if (job.parent / OPTUNA).is_file()), None)
    why = f"; {OPTUNA} beside them has the best one's score alone" if best else ""
    raise StudyError(
        f"{folder.name}: no job has {', '.join(f'{name}.json' for name in NAMES)} (or .yaml,"
        f" .csv){why}. Name the file that each of the {len(jobs)} jobs wrote: --results NAME"
    )


def _given(job: Path) -> dict[str, object]:
    """The overrides of one job, as KEY=VALUE; the values as YAML reads them."""
    lines = _yaml(job / ".hydra" / "overrides.yaml")
    if not isinstance(lines, list):
        raise StudyError(f"{job.name}/.hydra/overrides.yaml: must be a list of overrides")
    given: dict[str, object] = {}
    for line in lines:
        key, equals, text = str(line).partition("=")
        key = key.lstrip("+~").partition("@")[0]
        if not equals or key.startswith("hydra"):
            continue
        value = yaml.safe_load(text) if text else None
        given[key] = "none" if value is None else plain(value)
    return given


def _config(job: Path) -> dict[str, object]:
    path = job / ".hydra" / "config.yaml"
    content = _yaml(path) if path.is_file() else {}
    found = flattened(content) if isinstance(content, dict) else {}
    return {key: "none" if value is None else plain(value) for key, value in found.items()}


def _results(path: Path) -> dict[str, object]:
    """The results of one job: a mapping, or the last row of a CSV file."""
    if path.suffix == ".csv":
        rows = of_file(path).rows
        return {str(key): value for key, value in rows.iloc[-1].items()}
    try:
        content = json.loads(path.read_bytes()) if path.suffix == ".json" else _yaml(path)
    except ValueError as error:
        raise StudyError(f"{path.parent.name}/{path.name}: not readable ({error})") from error
    if not isinstance(content, dict):
        raise StudyError(
            f"{path.parent.name}/{path.name}: must be a mapping of names to results, got"
            f" {str(content)[:40]!r}"
        )
    return {key: plain(value) for key, value in flattened(content).items()}


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise StudyError(f"{path.parent.name}/{path.name}: not readable as YAML") from error
