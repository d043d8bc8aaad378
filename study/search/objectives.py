"""Objectives: train trials and score them, on validation data only."""

from __future__ import annotations

import math
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from study.config.setup import set_up
from study.interfaces import Point
from study.records import NETWORK, StudyError
from study.store import PointRecord
from study.training.by_trainer import best_validation, call_trainer, history_of
from study.training.by_trainer import provenance as trainer_provenance
from study.training.evaluation import evaluate_on
from study.training.groups import cost
from study.training.loop import train
from study.training.members import keep_members
from study.training.precision import fixed_numerics
from study.training.results import base_row, config_text, gradients, history_table, provenance
from study.training.state import Training, prepare
from study.training.trainer_point import TrainerPoint

OBJECTIVES = ("score", "health", "cost")
WORST_HEALTH = -30.0  # decades; for gradients that vanish or are not finite


@dataclass(frozen=True)
class TrialRequest:
    """A trial to run: replicates, as points of equal structure, and a number of validations."""

    name: str
    points: tuple[Point, ...]
    validations: int


@dataclass(frozen=True)
class Outcome:
    """The result of a trial.

    `values`: by name of the objective; `scores`: one per replicate; `se`: standard error of the
    score; `examples`: seen by all replicates together.
    """

    status: str  # done | diverged | pruned
    values: Mapping[str, float]
    scores: Sequence[float]
    se: float | None
    examples: int
    seconds: float
    reason: str | None = None
    record: PointRecord | None = None


OnValidation = Callable[[int, int, float], bool]
"""on_validation(trial, step, best score so far): called at each validation; true: prune."""


class Objective(ABC):
    """Runs trials of equal structure together."""

    @abstractmethod
    def higher_is_better(self, config: Mapping[str, Any]) -> bool: ...

    @abstractmethod
    def run(
        self,
        trials: Sequence[TrialRequest],
        device: str,
        on_validation: OnValidation,
        objectives: Collection[str],
    ) -> list[Outcome]:
        """Return one outcome per trial, in order, with a value for each of `objectives`."""


class Validation(Objective):
    """Trains trials like points; the score is the mean best validation metric of the replicates.

    Test data are never read.
    """

    def higher_is_better(self, config: Mapping[str, Any]) -> bool:
        return set_up(config).task.facts.higher_is_better

    def run(
        self,
        trials: Sequence[TrialRequest],
        device: str,
        on_validation: OnValidation,
        objectives: Collection[str],
    ) -> list[Outcome]:
        if set_up(trials[0].points[0].config).trainer is not None:
            return [
                _by_trainer(index, trial, device, on_validation, objectives)
                for index, trial in enumerate(trials)
            ]
        with fixed_numerics():
            training = prepare([point for trial in trials for point in trial.points], device)
            running = _RunningTrials(trials, training, on_validation, objectives)
            train(training, running)
            running.finish()
        return [running.outcomes[index] for index in range(len(trials))]


def _by_trainer(
    index: int,
    trial: TrialRequest,
    device: str,
    on_validation: OnValidation,
    objectives: Collection[str],
) -> Outcome:
    """Have a trainer of the user's own train the replicates of a trial, one after the other.

    The pruner sees the first one; the others are trained if it was not pruned.
    """
    start, updates = time.perf_counter(), trial.points[0].updates
    if other := sorted(set(objectives) - {"score"}):
        raise StudyError(
            f"search.objectives: a trainer of your own gives score alone, got {', '.join(other)}"
        )
    setup = set_up(trial.points[0].config)
    sign = 1 if setup.task.facts.higher_is_better else -1
    found: list[TrainerPoint] = []
    for number, point in enumerate(trial.points):
        best = [-math.inf]

        def on_score(update: int, score: float, number: int = number, best: Any = best) -> bool:
            best[0] = max(best[0], sign * score)
            step = round(trial.validations * update / updates)
            return number == 0 and on_validation(index, step, sign * best[0]) and update < updates

        with tempfile.TemporaryDirectory() as folder:
            found.append(
                call_trainer(point, setup, device, Path(folder), lambda update: None, on_score)
            )
        if found[-1].stopped == "pruned":
            break
    scores = [best_validation(each, setup)["val_score"] for each in found]
    if any(score is None for score in scores):
        raise StudyError("trainer: a search needs point.log(update, val_score=…), and none came")
    pruned = found[-1].stopped == "pruned"
    reason = f"pruned after {found[-1].update} of {updates} updates" if pruned else None
    status, seconds = "pruned" if pruned else "done", time.perf_counter() - start
    history = history_of(found[0])
    row = base_row(trial.points[0], setup.task.facts) | {
        "id": trial.name,
        "status": status,
        "reason": reason,
        "updates_done": found[-1].update,
        "ended_early": status if pruned else None,
        "updates_saved": updates - found[-1].update if pruned else 0,
        "val_score": float(np.mean(scores)),
        "seconds": seconds,
    }
    labels = {**trial.points[0].labels, "seed": trial.points[0].seed, "replicates": len(found)}
    return Outcome(
        status=status,
        values={"score": float(np.mean(scores))},
        scores=scores,
        se=None,
        examples=sum(each.update for each in found) * setup.batch,
        seconds=seconds,
        reason=reason,
        record=PointRecord(
            id=trial.name,
            row=row,
            labels=labels,
            config=config_text(trial.points[0]),
            overrides=[f"{key}={value}" for key, value in labels.items() if key != "replicates"],
            provenance=trainer_provenance(
                trial.points[0], setup, found[0], device, time.time() - seconds, seconds
            ),
            tables={"history": history},
        ),
    )


@dataclass
class _RunningTrials:
    """The trials of a group in training: removes pruned ones and collects outcomes."""

    trials: Sequence[TrialRequest]
    training: Training
    on_validation: OnValidation
    objectives: Collection[str]
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start = time.perf_counter()
        # The trial of every member that is still in training.
        self.trial_of = [index for index, trial in enumerate(self.trials) for _ in trial.points]
        self.update = 0

    def __call__(self, update: int) -> bool:
        """Report the scores after `update` updates; return whether all trials have been pruned."""
        self.update = update
        last = self.training.setup.updates
        scores, pruned = self.training.best_score.tolist(), set()
        for index in dict.fromkeys(self.trial_of):
            step = round(self.trials[index].validations * update / last)
            value = float(
                np.mean(
                    [
                        score
                        for score, trial in zip(scores, self.trial_of, strict=False)
                        if trial == index
                    ]
                )
            )
            if self.on_validation(index, step, value) and update < last:
                pruned.add(index)
        if not pruned:
            return False
        self._collect(pruned, f"pruned after {update} of {last} updates")
        stay = [member for member, trial in enumerate(self.trial_of) if trial not in pruned]
        self.trial_of = [self.trial_of[member] for member in stay]
        if stay:
            keep_members(self.training, stay)
        return not stay

    def finish(self) -> None:
        self._collect(set(self.trial_of), None)

    def _collect(self, trials: Collection[int], reason: str | None) -> None:
        """Record the outcomes of trials that end now; `reason`: why they were pruned."""
        training = self.training
        examples = (
            evaluate_on(training, training.best_params, "validation").error.tolist()
            if trials
            else []
        )
        share = (time.perf_counter() - self.start) / len(self.trials)
        for index in trials:
            members = [member for member, trial in enumerate(self.trial_of) if trial == index]
            points = self.trials[index].points
            scores = [float(training.best_score[member]) for member in members]
            diverged = [member for member in members if int(training.diverged_at[member]) >= 0]
            status = "pruned" if reason else "diverged" if diverged else "done"
            why = reason or (
                f"{len(diverged)} of {len(members)} replicates diverged" if diverged else None
            )
            values = {
                "score": float(np.mean(scores)),
                "cost": cost(self.training.setup) * len(points),
            }
            if "health" in self.objectives:
                values["health"] = float(np.mean([health(training, member) for member in members]))
            self.outcomes[index] = Outcome(
                status=status,
                values={name: values[name] for name in self.objectives},
                scores=scores,
                se=float(
                    np.sqrt(
                        np.mean(np.square([examples[member] for member in members])) / len(members)
                    )
                ),
                examples=self.update * training.setup.drawn * len(points),
                seconds=share,
                reason=why,
                record=self._record(index, members, status, why, share),
            )

    def _record(
        self, index: int, members: Sequence[int], status: str, reason: str | None, seconds: float
    ) -> PointRecord:
        """The stored record of a trial: a point's without test data, as mean over replicates."""
        training, trial = self.training, self.trials[index]
        point, ends = trial.points[0], [int(training.diverged_at[member]) for member in members]
        tables = [
            history_table(training, member, self.update if end < 0 else end, diverged=end >= 0)
            for member, end in zip(members, ends, strict=True)
        ]
        history = tables[0] if len(tables) == 1 else _mean(tables)
        row = base_row(point, training.task.facts) | gradients(history)
        row |= {
            "id": trial.name,
            "status": status,
            "reason": reason,
            "params": training.model.trained_count,
            "updates_done": len(history["update"]) - 1,
        }
        row |= {
            "ended_early": status if status == "pruned" else None,
            "updates_saved": point.updates - self.update if status == "pruned" else 0,
        }
        row |= {
            "val_score": float(np.mean([float(training.best_score[member]) for member in members])),
            "seconds": seconds,
        }
        return PointRecord(
            id=trial.name,
            row=row,
            labels={**point.labels, "seed": point.seed, "replicates": len(members)},
            config=config_text(point),
            overrides=[
                f"{key}={value}" for key, value in {**point.labels, "seed": point.seed}.items()
            ],
            provenance=provenance(training, time.time() - seconds, seconds),
            tables={"history": history},
        )


def _mean(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean of histories row by row, over the replicates that have a value in the row."""
    longest = max(tables, key=lambda table: len(table["update"]))
    merged: dict[str, Any] = {"update": longest["update"]}
    for name in (name for name in longest if name != "update"):
        rows: list[float | None] = []
        for row in range(len(longest["update"])):
            values = [
                table[name][row]
                for table in tables
                if row < len(table[name]) and table[name][row] is not None
            ]
            rows.append(float(np.mean(values)) if values else None)
        merged[name] = rows
    return merged


def health(training: Training, member: int) -> float:
    """Gradient health at the last probe, in decades; 0 is best.

    min(0, D) - max(0, U): what gradients lose over the task's lag, and their amplification
    (GRADIENT_HEALTH: D and U).
    """
    states = [
        measured.states[NETWORK][member]
        for measured in training.measured
        if NETWORK in measured.states
    ]
    transport, amplification = float(states[-1]["D"]), float(states[-1]["U"])
    value = min(0.0, transport) - max(0.0, amplification)
    return max(value, WORST_HEALTH) if np.isfinite(value) else WORST_HEALTH
