"""Points that a trainer of the user's own trains: call it, check what came, make the record."""

from __future__ import annotations

import contextlib
import datetime
import math
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from study.config.setup import Setup, set_up
from study.config.tasks import signature
from study.health.end_state import layers_rows
from study.interfaces import Point
from study.machine.provenance import code, machine
from study.machine.signals import LEAVE
from study.numerics.streams import own_draws
from study.records import NETWORK, OWN, StudyError
from study.store import PointRecord
from study.training.live import LiveLog, OnRows
from study.training.loop import Stopped
from study.training.precision import fixed_numerics
from study.training.results import (
    base_row,
    description,
    ends_solved,
    gradients,
    health,
    solved_at,
    sources_of,
)
from study.training.trainer_point import OnScore, TrainerPoint

FOLDER = "trainers"  # of the study: a folder for each point in training, for its checkpoints


def call_trainer(
    point: Point,
    setup: Setup,
    device: str,
    folder: Path,
    on_progress: Callable[[int], bool | None],
    on_score: OnScore | None = None,
    on_rows: OnRows = lambda rows: None,
) -> TrainerPoint:
    """Have the trainer train a point.

    Raises Stopped if it was interrupted, StudyError for what it does wrong.

    `on_score`: the pruner of a search; a pruned point need not be finished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    given = TrainerPoint(point, setup.task, device, folder, on_progress, on_score)
    given.on_row = LiveLog(point, on_rows, lambda: measured_tables(given)[0])
    config = ReadConfig(dict(point.config))
    OmegaConf.set_readonly(config, True)
    trainer = setup.trainer
    assert trainer is not None
    name = getattr(trainer, "__name__", "it")
    with fixed_numerics(), by_itself(), own_draws(point.seed, _devices(device)):
        try:
            trainer(config, given)
        except SystemExit as error:
            raise StudyError(f"trainer: {name} called sys.exit({error.code!r})") from error
    if given.stopped == "interrupted" and (given.scores is None or given.update < given.updates):
        raise Stopped(f"after {given.update} updates")
    if given.scores is None and given.stopped != "pruned":
        raise StudyError(
            f"trainer: {name} returned without point.finish(score=…), after {given.update} of"
            f" {given.updates} updates"
        )
    _check_read(point, config, given)
    return given


@contextlib.contextmanager
def by_itself() -> Iterator[None]:
    """Inside, a trainer may do as it likes: processes of its own, torch's global settings, chdir.

    Afterwards everything is as it was, since other points are trained in this process.
    """
    own = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    daemon, folder = own.get("daemon"), Path.cwd()
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    deterministic = torch.are_deterministic_algorithms_enabled()
    handlers = {number: signal.getsignal(number) for number in LEAVE}
    own["daemon"] = False  # daemons may have no children, such as the workers of a DataLoader
    try:
        yield
    finally:
        own["daemon"] = daemon
        os.chdir(folder)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        if deterministic != torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(deterministic)  # a second of imports
        for number, handler in handlers.items():
            if handler is not signal.getsignal(number):
                signal.signal(number, handler)


def _devices(device: str) -> list[torch.device]:
    return [torch.device(device)] if device.startswith("cuda") else []


class ReadConfig(DictConfig):
    """A configuration that knows which of its root keys have been read."""

    def __init__(self, content: dict[Any, Any]) -> None:
        object.__setattr__(self, "read", set())
        super().__init__(content)
        self.read.clear()

    def _get_node(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        self.read.add(key)
        return super()._get_node(key, *args, **kwargs)


def _check_read(point: Point, config: ReadConfig, given: TrainerPoint) -> None:
    """A factor that a trainer does not read would be a comparison of equal networks."""
    factors = {key: str(key).split(".")[0] for key, level in point.labels.items() if level != OWN}
    factors.pop("trainer", None)  # another function, which need not read its own name
    known = {"task", "seed", "updates", "trial"}  # the first three are also given.task, …
    if unread := [key for key, root in factors.items() if root not in config.read | known]:
        raise StudyError(
            f"trainer: it has never read config.{', config.'.join(unread)}, so that the levels of"
            f" {', '.join(unread)} would be equal networks under other names; use it, or do not"
            " vary it"
        )


def train_point(
    point: Point,
    folder: Path,
    device: str,
    on_progress: Callable[[int], bool | None],
    warn: Callable[[str], None],
    on_rows: OnRows,
) -> PointRecord:
    """Train a point of the study at `folder`; its record. Its own folder stays, see `remove`."""
    setup, start, started = set_up(point.config), time.time(), time.perf_counter()
    own = folder / FOLDER / point.id
    resumed = own.is_dir() and any(own.iterdir())
    try:
        found = call_trainer(point, setup, device, own, on_progress, on_rows=on_rows)
    except Stopped:
        raise
    except Exception as error:
        if not resumed:
            raise
        shutil.rmtree(own)
        warn(
            f"point {point.id} starts again from update 0, since its trainer failed with the files"
            f" of an earlier launch ({type(error).__name__}: {error})"
        )
        found = call_trainer(point, setup, device, own, on_progress, on_rows=on_rows)
    for note in found.notes:
        warn(f"point {point.id}: {note}")
    return _record(point, setup, found, device, start, time.perf_counter() - started)


def remove(folder: Path, point: Point) -> None:
    """Remove the folder of a stored point's checkpoints."""
    shutil.rmtree(folder / FOLDER / point.id, ignore_errors=True)
    with contextlib.suppress(OSError):  # others are in it
        (folder / FOLDER).rmdir()


def history_of(found: TrainerPoint) -> dict[str, list[Any]]:
    """history.parquet from what was logged: a row for each update that was."""
    rows = found.rows
    columns: dict[str, list[Any]] = {"update": [row["update"] for row in rows]}
    for name, logged in (("loss", "train_loss"), ("grad_norm", "grad_norm")):
        columns[name] = [row.get(logged) for row in rows]
    columns |= {"clip_scale": [None] * len(rows), "clip_cosine": [None] * len(rows)}
    for name in ("val_loss", "val_score"):
        columns[name] = [row.get(name) for row in rows]
    return columns


def best_validation(found: TrainerPoint, setup: Setup) -> dict[str, Any]:
    """val_score and val_loss of the row with the best logged score."""
    scores = [row for row in found.rows if math.isfinite(row.get("val_score", math.nan))]
    if not scores:
        return {"val_score": None, "val_loss": None}
    sign = 1 if setup.task.facts.higher_is_better else -1
    best = max(scores, key=lambda row: (sign * row["val_score"], -row["update"]))
    return {"val_score": best["val_score"], "val_loss": best.get("val_loss")}


def _record(
    point: Point, setup: Setup, found: TrainerPoint, device: str, start: float, seconds: float
) -> PointRecord:
    assert found.scores is not None
    facts, history, score = setup.task.facts, history_of(found), found.scores["score"]
    numbers = {name: np.asarray(values, dtype=float) for name, values in history.items()}
    bad = [row for row in found.rows if not math.isfinite(row.get("train_loss", 0.0))]
    diverged = bool(bad) or not math.isfinite(score)
    row = base_row(point, facts) | gradients({**numbers, "clip_scale": np.ones(len(found.rows))})
    row |= {"clip_rate": None, "shrink": None} | best_validation(found, setup)
    row |= {
        "status": "diverged" if diverged else "done",
        "score": score if math.isfinite(score) else None,
        "final_score": found.scores["final_score"],
        "params": _count(found.scores["weights"]),
        "updates_done": found.update,
        "updates_saved": 0,
        "seconds": seconds,
    }
    if diverged:
        at = bad[0]["update"] if bad else found.update
        what = "train_loss" if bad else "score"
        row |= {"diverged_at": at, "first_nonfinite": what}
        row["reason"] = f"{what} is not finite after {at} updates, as the trainer told"
    examples = found.scores["per_example"]
    if examples is not None and len(examples) > 1:
        row["score_se"] = float(examples.std(ddof=1) / math.sqrt(len(examples)))
    states, profile = measured_tables(found)
    layers = layers_rows(
        states, setup.thresholds, diverged=diverged, updates=max(found.update, 1), solved_from=None
    )
    if numbers["val_loss"].size and np.isfinite(numbers["val_loss"]).any():
        row |= {"solved_at": solved_at(numbers, facts), "ends_solved": ends_solved(numbers, facts)}
        row |= health(
            layers,
            numbers,
            {"quantity": [], "stage": [], "value": []},
            setup.task.guess_loss("validation"),
            setup.outcome_limits,
            diverged=diverged,
            solved=bool(row["ends_solved"]),
        )
    tables: dict[str, Any] = {"history": history}
    if states:
        tables |= {
            "states": {name: [each.get(name) for each in states] for name in states[0]},
            "layers": {name: [each[name] for each in layers] for name in layers[0]},
            "profile": profile,
        }
    if examples is not None:
        tables["test"] = {"example": np.arange(len(examples)), "value": examples}
    return PointRecord(
        **description(point),
        row=row,
        provenance=provenance(point, setup, found, device, start, seconds),
        tables=tables,
        weights=found.scores["weights"] if setup.store.weights else None,
    )


def measured_tables(found: TrainerPoint) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of states.parquet and columns of profile.parquet, from what was watched.

    Layers of all recurrent modules are numbered in order; with several modules there is no state
    of the network, since each was measured by itself.
    """
    states, profiles = found.measured
    if not len(states):
        return [], {}
    states, profiles = (frame[frame["call"] == 0] for frame in (states, profiles))
    modules = list(dict.fromkeys(states["module"]))
    numbers: dict[tuple[str, str], str] = {}
    for module in modules:
        own = states[states["module"] == module]
        for layer in dict.fromkeys(own["layer"]):
            if layer != NETWORK:
                numbers[module, layer] = str(len(numbers) + 1)
            elif len(modules) == 1:
                numbers[module, layer] = NETWORK
    updates = sorted(set(states["update"]))
    stage = {update: number for number, update in enumerate(updates)}

    def placed(frame: pd.DataFrame) -> pd.DataFrame:
        keys = list(zip(frame["module"], frame["layer"], strict=True))
        frame = frame[[key in numbers for key in keys]]
        layer = [numbers[key] for key in zip(frame["module"], frame["layer"], strict=True)]
        return frame.assign(layer=layer, stage=[stage[update] for update in frame["update"]])

    rows = placed(states).drop(columns=["module", "call"]).to_dict("records")
    columns = placed(profiles).drop(columns=["module", "call", "ratio"], errors="ignore")
    return (
        [{str(key): value for key, value in row.items()} for row in rows],
        {name: columns[name].to_numpy() for name in columns},
    )


def _count(weights: Mapping[str, np.ndarray] | None) -> int | None:
    return None if weights is None else int(sum(value.size for value in weights.values()))


def provenance(
    point: Point, setup: Setup, found: TrainerPoint, device: str, start: float, seconds: float
) -> dict[str, Any]:
    """Where the numbers of a point come from."""
    return {
        **code(),
        **machine(device),
        "data_hash": setup.task.data_hash(),
        "kernel": setup.kernel,
        "precision": "as its trainer says",
        "trainer": str(point.config["trainer"]["_target_"]),
        "probes": point.config["probe"],
        "task": asdict(setup.task.facts),
        "signature": signature(setup.task),
        "start": datetime.datetime.fromtimestamp(start, datetime.UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
        "notes": found.notes,
        **sources_of(point.config),
        **({"resumed": [found.resumed_at]} if found.resumed_at else {}),
    }
