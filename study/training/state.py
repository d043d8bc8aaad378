"""The state of a group in training, and how it is prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from study.config.network import init_facts
from study.config.setup import Setup, clip_rules_of, optimizer_of, penalty_of, schedule_of, set_up
from study.interfaces import (
    AtLags,
    ByIndex,
    ByStep,
    ClipRule,
    Optimizer,
    Penalty,
    Point,
    Probe,
    ProfileProbe,
    Schedule,
    State,
    Task,
)
from study.model import Model
from study.modules.initial import initial_row
from study.modules.network import ModuleNetwork
from study.network import Network
from study.numerics.stages import stages
from study.records import StudyError
from study.training.direct import DirectPass, direct_pass
from study.training.serialize import on_device


@dataclass(frozen=True)
class Measured:
    """What one probe measured at one stage. Profiles are reduced at once: raw norms are large.

    `values`: quantity -> [M, …]. `profiles`: "layer/state" -> columns [M, L]. `states`: layer ->
    one row per member.
    """

    probe: str
    stage: int
    update: int
    values: Mapping[str, np.ndarray | ByIndex | AtLags | ByStep]
    profiles: Mapping[str, Mapping[str, np.ndarray]]
    states: Mapping[str, list[dict[str, Any]]]


@dataclass
class Training:
    """One group in training. Tensors have M as first axis and are on the device."""

    points: Sequence[Point]  # M of them; a lone point is listed twice
    setups: Sequence[Setup]  # of the points
    task: Task
    model: Network
    params: Tensor
    optimizer: Optimizer
    optimizer_state: dict[str, Tensor]
    schedule: Schedule | None
    schedule_state: Any
    clip_rules: list[tuple[ClipRule, Tensor]]  # a rule and the indices of its members
    clip_states: list[Any]
    penalty: Penalty | None
    probes: dict[str, tuple[Probe, dict[int, int]]]  # name -> (probe, update -> stage)
    device: torch.device
    dtype: torch.dtype
    alive: Tensor
    diverged_at: Tensor
    best_score: Tensor
    best_loss: Tensor
    best_params: Tensor
    averaged: Tensor | None  # weights, where they are averaged
    direct: DirectPass | None  # None: updates need a graph of the layers
    # Each layer's states at the end of the last batch, if the task carries them.
    carried: list[State] = field(default_factory=list)
    # One entry per update or validation, each [M] and on the device.
    losses: list[Tensor] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)
    scales: list[Tensor] = field(default_factory=list)
    cosines: list[Tensor] = field(default_factory=list)
    factors: list[Tensor] = field(default_factory=list)  # of a schedule
    # update, loss, score
    validations: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    # What was measured of single members between the stages, M = 1: one list per member.
    measured_alone: list[list[Measured]] = field(default_factory=list)
    # "test", "final" (last weights on test data), "train" -> training.evaluation.Evaluated
    evaluations: dict[str, Any] = field(default_factory=dict)
    # "validation", "test" -> [M] by name of the task's further metrics, of the scored weights
    metrics: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)

    @property
    def distinct(self) -> int:
        """Members that differ: 1 if a lone point is listed twice."""
        return 1 if len(self.points) == 2 and self.points[0] is self.points[1] else len(self.points)

    @property
    def stack(self) -> Model:
        """The network, where it is the stack."""
        assert isinstance(self.model, Model)
        return self.model

    @property
    def scored(self) -> Tensor:
        """The weights that are validated, scored and stored."""
        return self.params if self.averaged is None else self.averaged

    @property
    def setup(self) -> Setup:
        """The setup of the first member; all members have the same group_key."""
        return self.setups[0]


def _check_same_data(points: Sequence[Point], task: Task) -> None:
    """A point stored under the id of other data would be a wrong number without a word."""
    planned = {point.data_hash for point in points} - {""}
    if planned and planned != {task.data_hash()}:
        raise StudyError(
            "task: its data are not those that were there when the study was planned; a file has"
            " changed meanwhile. Run the command again"
        )


def prepare(points: Sequence[Point], device_name: str) -> Training:
    """Build pieces for M members and draw their initial weights."""
    points = [*points, points[0]] if len(points) == 1 else list(points)
    setups = [set_up(point.config) for point in points]
    setup, task, model = setups[0], setups[0].task, setups[0].model
    _check_same_data(points, task)
    device, dtype = torch.device(device_name), setup.dtype
    params = torch.stack([initial_weights(each, model) for each in setups]).to(device, dtype)
    optimizer = optimizer_of(setups, device, dtype)
    schedule = schedule_of(setups, device)
    clip_rules = clip_rules_of(setups, device, dtype)
    worst = -torch.inf if task.facts.higher_is_better else torch.inf
    return Training(
        points=points,
        setups=setups,
        task=task,
        model=model,
        params=params,
        optimizer=optimizer,
        optimizer_state=optimizer.init(params),
        schedule=schedule,
        schedule_state=None if schedule is None else on_device(schedule.init(len(points)), device),
        clip_rules=clip_rules,
        clip_states=[rule.init(params[members], model.slices) for rule, members in clip_rules],
        penalty=penalty_of(setups, device, dtype),
        probes=with_stages(setup.probes, setup.updates),
        device=device,
        dtype=dtype,
        alive=torch.ones(len(points), dtype=torch.bool, device=device),
        diverged_at=torch.full((len(points),), -1, device=device),
        best_score=torch.full((len(points),), worst, dtype=torch.float64, device=device),
        best_loss=torch.full((len(points),), torch.nan, dtype=torch.float64, device=device),
        best_params=params,
        averaged=None if setup.average is None else params,
        direct=direct_pass_of(setup, device),
        measured_alone=[[] for _ in points],
    )


def direct_pass_of(setup: Setup, device: torch.device) -> DirectPass | None:
    """The pass of a group's updates; None for a penalty, whose gradient needs a graph."""
    if "penalty" in setup.nodes or setup.precision != "full":
        return None
    return direct_pass(setup.model, setup.task, device, setup.dtype)


def initial_weights(setup: Setup, model: Network) -> Tensor:
    """Initial weights of one member, [P] in fp64."""
    if isinstance(model, ModuleNetwork):
        facts = init_facts(setup, setup.seed)
        return initial_row(model, initializer=setup.initializer, facts=facts, seed=setup.seed)
    return setup.stack.initial(
        initializer=setup.initializer,
        standing=setup.weight_rules,
        forget_bias=setup.forget_bias,
        facts=init_facts(setup, setup.seed),
        seed=setup.seed,
    )


def with_stages(
    probes: Mapping[str, Probe], updates: int
) -> dict[str, tuple[Probe, dict[int, int]]]:
    """Each probe with {update: stage}, empty for probes that observe training's own passes."""
    return {
        name: (
            probe,
            {}
            if isinstance(probe, ProfileProbe) and probe.every is not None
            else {update: stage for stage, update in enumerate(stages(probe.stages, updates))},
        )
        for name, probe in probes.items()
    }
