"""Adopted runs as the points of a study: ids, the declaration, and what is stored already."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import study
from study.adopt.factors import Factors, ordered
from study.adopt.options import Options, check_rule
from study.adopt.runs import Run, described
from study.adopt.source import Source
from study.records import POINTS, StudyError
from study.store import PointRecord, Store
from study.store.leases import STUDY, Leases
from study.store.privacy import private
from study.store.table import known, to_json

LEASE_SECONDS = 60.0
ADOPTED = "adopted"


def id_of(run: Run, source: Source) -> str:
    """A hash of the factors' levels, the seed and the source's name: the same at every adoption."""
    decides = {
        ADOPTED: source.name,
        "labels": {key: str(level) for key, level in run.labels.items()},
        "seed": run.seed,
    }
    text = json.dumps(decides, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def write(
    folder: Path,
    source: Source,
    options: Options,
    factors: Factors,
    runs: Sequence[Run],
    comparisons: Mapping[str, Any],
    command: str,
) -> int:
    """Store the runs that are new, and declare all; how many were new. Raises StudyError."""
    store = Store(folder)
    mark = _fingerprint(options, factors)
    store.check_mine(mark)
    time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    try:
        with Leases(folder, LEASE_SECONDS) as leases, leases.alone(STUDY):
            store.check_mine(mark)
            records = [_record(run, source, time) for run in runs]
            stored = _stored(store)
            _check_stored(store, stored, runs, records, source)
            # A stored point that was set aside since is written again.
            new = [record for record in records if store.status(record.id) is None]
            declared = _declaration(options, factors, runs, records, stored, comparisons, source)
            launch = {
                "id": leases.id,
                "time": time,
                "command": private(command),
                "versions": {"rnn-gradient-study": study.__version__},
                ADOPTED: {"name": source.name, "kind": source.kind, "digest": source.digest},
                "planned": len(runs),
                "stored_before": len(runs) - len(new),
            }
            store.declare(
                {
                    "name": options.name,
                    "experiment": None,
                    "title": options.title or stored["title"],
                    "question": options.question or stored["question"],
                    "fingerprint": mark,
                    "declaration": declared,
                },
                launch,
            )
            for record in new:  # if this is interrupted, the same command stores what is missing
                store.write(record)
            store.write_points_table()
    except OSError as error:
        raise StudyError(
            f"{error.filename or folder}: {error.strerror or error}. Nothing that was stored before"
            " has changed; the same command continues"
        ) from error
    return len(new)


def _fingerprint(options: Options, factors: Factors) -> dict[str, Any]:
    """What adoptions into one study must agree on."""
    return {
        ADOPTED: True,
        "factors": ", ".join(sorted(factors.names)),
        "metric": options.metric,
        "higher_is_better": options.higher_is_better,
        "solved": options.solved,
        "baseline": options.baseline,
    }


def _record(run: Run, source: Source, time: str) -> PointRecord:
    id = id_of(run, source)
    row = {"id": id, "seed": run.seed, **run.row}
    labels = {**run.labels, "seed": run.seed}
    text = yaml.safe_dump({"adopted": source.name, **labels}, sort_keys=False, allow_unicode=True)
    origin = {"name": source.name, "kind": source.kind, "digest": source.digest, "at": run.where}
    tables = {"history": run.history} if run.history else {}
    return PointRecord(
        id=id,
        row={name: row[name] for name in (column.name for column in POINTS) if name in row},
        labels=labels,
        config=text,
        overrides=[f"{key}={level}" for key, level in labels.items()],
        provenance={ADOPTED: origin, "time": time},
        tables=tables,
    )


def _stored(store: Store) -> dict[str, Any]:
    """What an earlier adoption left: points of the grid by id, factors, claims, title."""
    record = store.study() if store.declaration.path.exists() else {}
    declared = record.get("declaration", {})
    return {
        "grid": {point["id"]: point for point in declared.get("grid", [])},
        "factors": declared.get("factors", {}),
        "tasks": declared.get("tasks", {}),
        "claims": declared.get("claims", []),
        "contrasts": declared.get("contrasts", []),
        "title": record.get("title", ""),
        "question": record.get("question", ""),
    }


def _check_stored(
    store: Store,
    stored: Mapping[str, Any],
    runs: Sequence[Run],
    records: Sequence[PointRecord],
    source: Source,
) -> None:
    """A stored run must come again as it was, and from where it was."""
    there = {_key(point["labels"], point["seed"]): id for id, point in stored["grid"].items()}
    for run, record in zip(runs, records, strict=True):
        if store.status(record.id) is None:
            other = there.get(_key(record.labels, run.seed))
            if other is not None and other != record.id:
                origin = store.result(other)["provenance"].get(ADOPTED, {})
                raise StudyError(
                    f"{run.where}: {described(run.labels, run.seed)} was adopted before, from"
                    f" {origin.get('name')} ({origin.get('at')}). Give these runs a study of their"
                    " own: another name"
                )
            continue
        before = known(store.result(record.id)["row"])
        now = known({name: to_json(value) for name, value in record.row.items()})
        changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if changed:
            what = ", ".join(
                f"{name} {_said(before.get(name))}, now {_said(now.get(name))}" for name in changed
            )
            raise StudyError(
                f"{run.where}: {described(run.labels, run.seed)} was adopted with {what}. Stored"
                " runs are not changed; give the new numbers a study of their own: another name"
            )
        if store.differs(record):
            raise StudyError(
                f"{run.where}: {described(run.labels, run.seed)} was adopted with another history."
                " Give it a study of its own: another name"
            )


def _said(value: object) -> str:
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _key(labels: Mapping[str, Any], seed: int) -> tuple[tuple[str, str], ...]:
    own = {key: str(level) for key, level in labels.items() if key != "seed"}
    return (*sorted(own.items()), ("seed", str(seed)))


def _declaration(
    options: Options,
    factors: Factors,
    runs: Sequence[Run],
    records: Sequence[PointRecord],
    stored: Mapping[str, Any],
    comparisons: Mapping[str, Any],
    source: Source,
) -> dict[str, Any]:
    """As study.launch.declaration writes it; runs adopted before stay in the grid."""
    grid = dict(stored["grid"])
    for run, record in zip(runs, records, strict=True):
        grid.setdefault(
            record.id, {"id": record.id, "seed": run.seed, "labels": dict(record.labels)}
        )
    points = list(grid.values())
    keys = list(factors.keys.values())
    return {
        "factors": {key: ordered([point["labels"][key] for point in points]) for key in keys},
        "seeds": sorted({point["seed"] for point in points}),
        "excluded": [],
        "arms": [],
        "claims": _kept(comparisons["claims"], stored["claims"]),
        "contrasts": _kept(comparisons["contrasts"], stored["contrasts"]),
        "search": None,
        "fixed": dict(factors.fixed),
        "grid": points,
        "tasks": _tasks(options, runs, stored["tasks"], source),
        "health": {},
        ADOPTED: {
            "score": options.score,
            "seed": options.seed,
            "val_score": options.val_score,
            "keys": dict(factors.keys),
        },
    }


def _kept(given: Any, stored: Any) -> Any:
    return stored if given is None else list(given)


def _tasks(
    options: Options, runs: Sequence[Run], stored: Mapping[str, Any], source: Source
) -> dict[str, Any]:
    """Facts of each task: what its scores mean; nobody recorded its data."""
    tasks = dict(stored)
    for name in dict.fromkeys(str(run.row["task"]) for run in runs):
        found = {
            run.row["baseline"] for run in runs if run.row["task"] == name and "baseline" in run.row
        }
        baseline = {"baseline": sum(found) / len(found)} if found else {}
        for one in found:
            check_rule(options, one, f" of {name}" if isinstance(options.baseline, str) else "")
        tasks.setdefault(
            name,
            {
                "metric": options.metric,
                "higher_is_better": options.higher_is_better,
                "solved": options.solved,
                "lag": None,
                **baseline,
            },
        )
    return tasks
