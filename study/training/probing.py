"""Run probes at their stages; check and reduce what they return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from study.health.profiles import Logs, judged_lag, logs, profile, states
from study.interfaces import AtLags, Batch, ByIndex, ByStep, LagNorms, Probe, ProfileProbe, Step
from study.records import StudyError
from study.training.rates import scheduled
from study.training.state import Measured, Training
from study.training.step import clip, loss_and_gradients, to_device, training_batch
from study.training.trace import StageTrace


def stages_due(training: Training, update: int) -> dict[str, int]:
    """{probe: stage} for probes that are due at this update."""
    return {
        name: stages[update] for name, (_, stages) in training.probes.items() if update in stages
    }


def next_stages(training: Training, update: int) -> dict[str, int]:
    """{probe: next stage} for probes that are not due at this update but later."""
    later = {
        name: [stage for at, stage in stages.items() if at > update]
        for name, (_, stages) in training.probes.items()
        if update not in stages
    }
    return {name: min(stages) for name, stages in later.items() if stages}


def deciding(training: Training) -> dict[str, dict[int, int]]:
    """{probe: {update: stage}} for the probes that give the states, and with them the verdict."""
    return {
        name: stages
        for name, (probe, stages) in training.probes.items()
        if isinstance(probe, ProfileProbe) and probe.decides
    }


def probe(training: Training, update: int, stages: Mapping[str, int]) -> None:
    """Run these probes, each for the given stage.

    Values of frozen members are dropped later (study/training/results.py).
    """
    due = {name: (training.probes[name][0], stage) for name, stage in stages.items()}
    if not due:
        return
    params = {
        name: value.double()
        for name, value in training.model.named(training.params.detach()).items()
    }
    fixed = probe_batch(training)
    traces: dict[int, StageTrace] = {}
    for name, (piece, stage) in due.items():
        if stage not in traces:
            seeds = [point.seed for point in training.points]
            traces[stage] = StageTrace(
                params=params,
                batch=fixed,
                task=training.task,
                model=training.model,
                stage=stage,
                update=update,
                seeds=seeds,
                next_update=NextUpdate(training, update),
            )
        training.measured.append(measure(training, name, piece, traces[stage]))


@dataclass(frozen=True)
class NextUpdate:
    """The next update, computed without touching training (trace.NextUpdate).

    After the last update, one more on the last batch.
    """

    training: Training
    update: int

    def batch(self) -> Batch:
        return in_double(training_batch(self.training, self._next()))

    def step(self) -> Step:
        training = self.training
        _, grads, _, _ = loss_and_gradients(training, training.params, self._next())
        clipped, _ = clip(training, grads)
        optimizer, _ = scheduled(training, self._next())
        after, _ = optimizer(clipped, training.params, training.optimizer_state)
        grads_, clipped_, before, after_ = (
            {name: value.detach().double() for name, value in training.model.named(flat).items()}
            for flat in (grads, clipped, training.params, after)
        )
        return Step(grads=grads_, clipped=clipped_, before=before, after=after_)

    def _next(self) -> int:
        return min(self.update, self.training.setup.updates - 1)


def in_double(batch: Batch) -> Batch:
    return Batch(
        x=batch.x.double(),
        y=batch.y.double() if batch.y.is_floating_point() else batch.y,
        lengths=batch.lengths,
    )


def measure(training: Training, name: str, probe: Probe, trace: StageTrace) -> Measured:
    """Call the probe and reduce what it returned."""
    returned = probe(trace)
    if not isinstance(returned, Mapping):
        raise StudyError(
            f"probe {name}: {type(probe).__name__} must return {{quantity: values}}, got"
            f" {type(returned).__name__}"
        )
    if not isinstance(probe, ProfileProbe):
        values = {
            quantity: _number(name, quantity, value, len(training.points))
            for quantity, value in returned.items()
        }
        return Measured(name, trace.stage, trace.update, values, {}, {})
    profiles, rows = {}, {}
    limits, lag = (
        training.setup.thresholds,
        judged_lag(training.task.facts.lag, trace.last_step.numpy()),
    )
    # With one layer, network and layer share their norms: these are reduced once.
    reduced: dict[int, tuple[Logs, dict[str, np.ndarray]]] = {}
    judged: dict[int, list[dict[str, Any]]] = {}
    for which, norms in returned.items():
        assert isinstance(norms, LagNorms)
        if id(norms) not in reduced:
            by_lag = logs(norms.norms.detach().cpu().numpy(), norms.exists.cpu().numpy())
            reduced[id(norms)] = by_lag, profile(by_lag)
        by_lag, profiles[which] = reduced[id(norms)]
        layer, state = which.split("/")
        if probe.decides and state == "s":
            if id(norms) not in judged:
                judged[id(norms)] = states(by_lag, lag, limits, np.random.default_rng(trace.stage))
            rows[layer] = [dict(row) for row in judged[id(norms)]]
    return Measured(name, trace.stage, trace.update, {}, profiles, rows)


def _number(
    name: str, quantity: str, value: Any, members: int
) -> np.ndarray | ByIndex | AtLags | ByStep:
    """Check a quantity that a probe returned, and put it on the CPU in fp64.

    One number per member, and per layer, lag, index, example or step. Raises ValueError.
    """
    if isinstance(value, ByStep):
        return _by_step(name, quantity, value, members)
    tensor, sizes = (
        (value.values, (3,))
        if isinstance(value, ByIndex)
        else (value.values, (3, 4))
        if isinstance(value, AtLags)
        else (value, (1, 2, 3))
    )
    fits = isinstance(tensor, Tensor) and tensor.ndim in sizes and len(tensor) == members
    if not fits or (isinstance(value, AtLags) and tensor.shape[2] != len(value.lags)):
        got = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        allowed = (
            "[M], [M, layers], [M, layers, lags], ByIndex of [M, layers, n] or AtLags of [M,"
            " layers, n lags] or [M, layers, n lags, i]"
        )
        raise ValueError(
            f"probe {name}: {quantity} must be a tensor {allowed} with M = {members}, got {got}"
        )
    tensor = tensor.detach().double().cpu()
    if isinstance(value, ByIndex):
        return ByIndex(tensor)
    return AtLags(tensor, value.lags) if isinstance(value, AtLags) else tensor.numpy()


def _by_step(name: str, quantity: str, value: ByStep, members: int) -> ByStep:
    values, last = value.values, value.last
    if (
        values.ndim not in (3, 4)
        or len(values) != members
        or last.shape != values.shape[-2:-1]
        or not int(last.max()) < values.shape[-1]
    ):
        got = f"{tuple(values.shape)} and last {last.tolist()}"
        raise ValueError(
            f"probe {name}: {quantity} must be ByStep of [M, n, T] or [M, layers, n, T] with M ="
            f" {members} and last [n] below T, got {got}"
        )
    return ByStep(values.detach().double().cpu(), last.cpu())


def probe_batch(training: Training) -> Batch:
    """The first validation examples: the same for every point of the study."""
    examples, unit = training.task.split("validation"), training.model.padded_batch(1)
    count = min(training.setup.health.examples, len(examples.x))
    # Whole vectors per member, as in training.
    count = max(count // unit, 1) * unit if count >= unit else count
    lengths = None if examples.lengths is None else examples.lengths[None, :count]
    batch = to_device(
        training,
        Batch(examples.x[None, :count], examples.y[None, :count], lengths),
        torch.zeros(len(training.points), dtype=torch.long),
    )
    return in_double(batch)
