"""What a trainer of the user's own is given: a point to train, and where to tell its progress."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from study.diagnostics.watch import Watched
from study.interfaces import Point, Task
from study.records import StudyError

LOG, MEASURED = "log.jsonl", ("states.parquet", "profiles.parquet")
LOGGED = ("train_loss", "val_loss", "val_score", "grad_norm")
OnScore = Callable[[int, float], bool]
"""on_score(update, val_score): called for each validation that is logged; true: prune."""


class TrainerPoint:
    """One point in training by a function of the user's own, `train(config, point)`.

    seed: for everything that is drawn; torch, numpy and random are seeded with it already.
    device: cpu or cuda:N. updates: planned, as config.updates. task: its data (task.sample,
    task.split) and what counts as solved; task=declared has facts alone. folder: for checkpoints;
    it survives interruptions, until the point is stored, and is empty at first.
    """

    def __init__(
        self,
        point: Point,
        task: Task,
        device: str,
        folder: Path,
        on_progress: Callable[[int], bool | None],
        on_score: OnScore | None = None,
    ) -> None:
        self.seed, self.device, self.folder, self.task = point.seed, device, folder, task
        self.updates = point.updates
        self.scores: dict[str, Any] | None = None  # what `finish` was given
        self.rows: list[dict[str, Any]] = _read(folder / LOG)
        self.measured = [_frame(folder / name) for name in MEASURED]
        self.stopped: str | None = None  # why should_stop was true when it was read
        self.resumed_at = self.rows[-1]["update"] if self.rows else 0
        self._on_progress, self._on_score = on_progress, on_score
        self.on_row: Callable[[Sequence[Mapping[str, Any]]], None] = lambda rows: None
        self._leaving = self._pruned = self._logged_here = False
        self._watched: list[_WatchedHere] = []
        self.notes: list[str] = []  # on what could not be measured

    @property
    def update(self) -> int:
        """Updates made, as last logged."""
        return int(self.rows[-1]["update"]) if self.rows else 0

    @property
    def should_stop(self) -> bool:
        """Whether to stop now, without `finish`: Ctrl-C, the end of a job's time, or pruning.

        Write a checkpoint to `folder` before: the next launch calls the trainer again with it.
        """
        self._leaving = bool(self._on_progress(self.update)) or self._leaving
        if self._pruned or self._leaving:
            self.stopped = "pruned" if self._pruned else "interrupted"
        return self.stopped is not None

    def log(
        self,
        update: int,
        *,
        train_loss: Any = None,
        val_loss: Any = None,
        val_score: Any = None,
        grad_norm: Any = None,
    ) -> None:
        """Record numbers after `update` updates; calls for one update add up.

        train_loss: of the last batch. val_loss, val_score: on validation data, in the units of the
        task's loss and metric. grad_norm: of all gradients before clipping; under `watch` it is
        known already. Raises StudyError for updates that go back or exceed the planned ones, and
        for what is no number.
        """
        given = {"train_loss": train_loss, "val_loss": val_loss, "val_score": val_score}
        values = {
            name: _number(value, f"log: {name}")
            for name, value in {**given, "grad_norm": grad_norm}.items()
            if value is not None
        }
        if self.scores is not None:
            raise StudyError("trainer: point.log was called after point.finish")
        if isinstance(update, bool) or not isinstance(update, int | np.integer):
            raise StudyError(f"trainer: log: update must be a whole number, got {update!r}")
        if not 0 <= update <= self.updates:
            raise StudyError(
                f"trainer: log: update must be from 0 to {self.updates}, as planned by `updates`,"
                f" got {update}"
            )
        if not self._logged_here:  # a resumed trainer goes on from its own checkpoint
            self._go_on_from(update - 1)
            self._logged_here = True
        if self.rows and update < self.update:
            raise StudyError(
                f"trainer: log: updates must not go back, got {update} after {self.update}"
            )
        if self._watched and "grad_norm" not in values:
            norm = self._watched[-1].last_norm()
            values |= {} if norm is None else {"grad_norm": norm}
        line = {"update": int(update), **values}
        if self.rows and self.update == update:
            self.rows[-1] |= line
        else:
            self.rows.append(line)
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        for watched in self._watched:
            watched.passes_at_log = watched.backwards
            watched.keep()
        self.on_row(self.rows)
        if val_score is not None and self._on_score is not None:
            self._pruned = self._on_score(int(update), values["val_score"]) or self._pruned
        self._leaving = bool(self._on_progress(int(update))) or self._leaving

    @contextmanager
    def watch(
        self, net: nn.Module, *, every: int, start: int | None = None, lag: int | None = None
    ) -> Iterator[Watched]:
        """Around the loop: gradient norms of every backward pass, gradient health of every N-th.

        As study.watch; `lag` is the task's, if it declares one. What is measured is stored with
        the point. start: the updates made before the loop, of a trainer that goes on from its own
        checkpoint; it must be given then, so that measurements belong to the right updates.
        """
        facts = self.task.facts
        if start is None and self.rows:
            raise StudyError(
                "trainer: this point goes on from an interruption; tell point.watch(…, start=N) how"
                " many updates the checkpoint has made, 0 if the trainer starts again"
            )
        self._go_on_from(start or 0)
        judged = lag or (min(facts.lag, facts.steps - 1) if facts.lag else None)
        watched = _WatchedHere(self, net, every, judged, facts.every_step)
        watched.backwards = watched.kept = watched.passes_at_log = start or 0
        with watched:
            self._watched.append(watched)
            yield watched
        watched.keep()

    def finish(
        self,
        *,
        score: Any,
        final_score: Any = None,
        per_example: Any = None,
        weights: nn.Module | Mapping[str, Any] | None = None,
    ) -> None:
        """The result, once: the task's metric on test data, of the weights best in validation.

        final_score: of the last weights. per_example: [N] of the test examples, whose mean is the
        score. weights: to be stored, a module or a state dict.
        """
        if self.scores is not None:
            raise StudyError("trainer: point.finish was called twice")
        number = _number(score, "finish: score")
        self.scores = {
            "score": number,
            "final_score": (
                None if final_score is None else _number(final_score, "finish: final_score")
            ),
            "per_example": None if per_example is None else _examples(per_example, number),
            "weights": None if weights is None else _arrays(weights),
        }

    # --- measurements -----------------------------------------------------------------------------

    def keep(self, states: pd.DataFrame, profiles: pd.DataFrame) -> None:
        """Add measurements to those of earlier launches, and write them to the folder."""
        for place, (frame, name) in enumerate(zip((states, profiles), MEASURED, strict=True)):
            if len(frame):
                both = [part for part in (self.measured[place], frame) if len(part)]
                self.measured[place] = pd.concat(both, ignore_index=True)
                _replace(self.folder / name, self.measured[place].to_parquet)

    def _go_on_from(self, update: int) -> None:
        """Drop what a launch that was interrupted logged and measured after its checkpoint."""
        if not (self.folder / LOG).exists():
            return
        self.rows = [row for row in self.rows if row["update"] <= update]
        for place, frame in enumerate(self.measured):
            if len(frame):
                self.measured[place] = frame[frame["update"] < max(update, 1)]
        text = "".join(json.dumps(row) + "\n" for row in self.rows)
        # also where nothing is dropped: a last line that was cut off would spoil the next one
        _replace(self.folder / LOG, lambda path: path.write_text(text, encoding="utf-8"))


class _WatchedHere(Watched):
    """A watch whose measurements belong to updates, as the trainer logs them."""

    def __init__(
        self, point: TrainerPoint, net: nn.Module, every: int, lag: int | None, every_step: bool
    ) -> None:
        super().__init__(net, every, lag, every_step, None, None)
        self.point, self.passes_at_log = point, 0
        self.made_at: dict[int, int] = {}  # backward pass -> updates made
        self.kept = 0  # backward passes whose measurements are kept

    def _measure(self, backward: int, number: int, call: Any) -> None:
        since = backward - self.passes_at_log
        self.made_at[backward] = min(self.point.update + since, self.point.updates)
        super()._measure(backward, number, call)

    def _note(self, text: str, *, warn: bool) -> None:
        super()._note(text, warn=False)
        if warn and text not in self.point.notes:
            self.point.notes.append(text)

    def last_norm(self) -> float | None:
        self._flush()
        return float(self._norms[-1]["norm"]) if self._norms else None

    def keep(self) -> None:
        """Hand the point what was measured since the last time."""
        if not any(backward >= self.kept for _, backward, _ in self.health):
            return
        frames = []
        for new in (self.states_since(self.kept), self.profiles_since(self.kept)):
            update = [self.made_at[at] for at in new["backward"]] if len(new) else []
            frames.append(new.assign(update=update).drop(columns="backward", errors="ignore"))
        self.kept = self.backwards
        self.point.keep(*frames)


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file that a kill cannot cut off; as lasting as a trainer's own checkpoints."""
    partial = path.with_name(f".partial-{path.name}")
    write(partial)
    partial.replace(path)


def _number(value: Any, what: str) -> float:
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        shown = list(value.shape) if isinstance(value, Tensor | np.ndarray) else repr(value)
        raise StudyError(f"trainer: {what} must be one number, got {shown}") from error


def _examples(values: Any, score: float) -> np.ndarray:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "fiub":
        raise StudyError(
            "trainer: finish: per_example must be one number for each test example, got shape"
            f" {list(array.shape)} of {array.dtype}"
        )
    array = array.astype(float)
    if math.isfinite(score) and not math.isclose(array.mean(), score, rel_tol=1e-4, abs_tol=1e-6):
        raise StudyError(
            f"trainer: finish: per_example has the mean {array.mean():.6g}, and score is"
            f" {score:.6g}; leave per_example out if the score is no mean over examples"
        )
    return array


def _arrays(weights: nn.Module | Mapping[str, Any]) -> dict[str, np.ndarray]:
    named = weights.state_dict() if isinstance(weights, nn.Module) else weights
    found = {}
    for name, value in named.items():
        if isinstance(value, Tensor):
            value = value.detach().cpu()
            value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        if not isinstance(value, np.ndarray) or value.dtype == object:
            raise StudyError(
                f"trainer: finish: weights must be a module or tensors by name, got"
                f" {type(value).__name__} for {name}"
            )
        found[str(name)] = np.ascontiguousarray(value)
    return found


def _read(path: Path) -> list[dict[str, Any]]:
    """Rows of a log, one an update; a last line that was cut off is left out."""
    rows: list[dict[str, Any]] = []
    lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            break
        if rows and rows[-1]["update"] == row["update"]:
            rows[-1] |= row
        else:
            rows.append(row)
    return rows


def _frame(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError):
        return pd.DataFrame()
