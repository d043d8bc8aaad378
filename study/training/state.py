"""What a group in training is made of, and how it is prepared: members stacked, first weights
drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from study.config.build import build, build_for_members, structure
from study.config.network import build_model, init_facts
from study.config.resolve import DTYPES
from study.config.tasks import load_task
from study.interfaces import (
    AtLags,
    ByIndex,
    ByStep,
    ClipRule,
    Optimizer,
    Point,
    Probe,
    ProfileProbe,
    State,
    Task,
)
from study.model import Model
from study.numerics.stages import stages


@dataclass(frozen=True)
class Measured:
    """What one probe found at one stage. Profiles are reduced at once: raw norms are large.

    `values`: quantity -> [M, …]. `profiles`: "layer/state" -> columns [M, L]. `states`: layer -> a
    row a member.
    """

    probe: str
    stage: int
    update: int
    values: Mapping[str, np.ndarray | ByIndex | AtLags | ByStep]
    profiles: Mapping[str, Mapping[str, np.ndarray]]
    states: Mapping[str, list[dict[str, Any]]]


@dataclass
class Training:
    """One group on its way. Tensors have M as first axis and live on the device."""

    points: Sequence[Point]  # M of them; the last is a shadow of the first where a point is alone
    task: Task
    model: Model
    params: Tensor
    optimizer: Optimizer
    optimizer_state: dict[str, Tensor]
    clip_rules: list[tuple[ClipRule, Tensor]]  # a rule and the members it is for
    clip_states: list[Any]
    probes: dict[str, tuple[Probe, dict[int, int]]]  # name -> (probe, update -> stage)
    device: torch.device
    dtype: torch.dtype
    alive: Tensor
    diverged_at: Tensor
    best_score: Tensor
    best_loss: Tensor
    best_params: Tensor
    # each layer's states at the end of the last batch, where the task goes on from there
    carried: list[State] = field(default_factory=list)
    # Records: one entry an update or validation, [M] each, still on the device.
    losses: list[Tensor] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)
    scales: list[Tensor] = field(default_factory=list)
    cosines: list[Tensor] = field(default_factory=list)
    # update, loss, score
    validations: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    # metric by example [M, B] on test, final test, train
    evaluations: dict[str, Tensor] = field(default_factory=dict)

    @property
    def config(self) -> Any:
        """What all members share."""
        return self.points[0].config


def prepare(points: Sequence[Point], device_name: str) -> Training:
    """Members stacked, first weights drawn, pieces built for M members."""
    points = [*points, points[0]] if len(points) == 1 else list(points)
    config = points[0].config
    device, dtype = torch.device(device_name), DTYPES[config["dtype"]]
    task, model = load_task(config["task"]), build_model(config)
    params = torch.stack([initial_weights(point, task, model) for point in points]).to(
        device, dtype
    )
    optimizer: Optimizer = build_for_members(
        [point.config["optimizer"] for point in points], "optimizer", device, dtype
    )
    clip_rules = clip_by_class(points, device, dtype)
    worst = -torch.inf if task.facts.higher_is_better else torch.inf
    return Training(
        points=points,
        task=task,
        model=model,
        params=params,
        optimizer=optimizer,
        optimizer_state=optimizer.init(params),
        clip_rules=clip_rules,
        clip_states=[rule.init(params[members], model.slices) for rule, members in clip_rules],
        probes=schedule(config),
        device=device,
        dtype=dtype,
        alive=torch.ones(len(points), dtype=torch.bool, device=device),
        diverged_at=torch.full((len(points),), -1, device=device),
        best_score=torch.full((len(points),), worst, dtype=torch.float64, device=device),
        best_loss=torch.full((len(points),), torch.nan, dtype=torch.float64, device=device),
        best_params=params,
    )


def initial_weights(point: Point, task: Task, model: Model) -> Tensor:
    config = point.config
    standing = {
        role: build(config["weights"][role], f"weights.{role}") for role in ("input", "readout")
    }
    return model.initial(
        initializer=build(config["initializer"], "initializer"),
        standing=standing,
        forget_bias=config["weights"]["forget_bias"],
        facts=init_facts(config, task, model, point.seed),
        seed=point.seed,
    )


def clip_by_class(
    points: Sequence[Point], device: torch.device, dtype: torch.dtype
) -> list[tuple[ClipRule, Tensor]]:
    """Rules of several classes share a group: each with the members it is for."""
    members: dict[str, list[int]] = {}
    for index, point in enumerate(points):
        members.setdefault(repr(structure(point.config["clip"], "clip")), []).append(index)
    return [
        (
            build_for_members(
                [points[index].config["clip"] for index in of], "clip", device, dtype
            ),
            torch.tensor(of, device=device),
        )
        for of in members.values()
    ]


def schedule(config: Any) -> dict[str, tuple[Probe, dict[int, int]]]:
    """Each probe with {update: stage}."""
    probes: dict[str, tuple[Probe, dict[int, int]]] = {}
    for name, node in config["probe"].items():
        probe: Probe = build(node, f"probe.{name}")
        if isinstance(probe, ProfileProbe) and probe.every is not None:
            probes[name] = (probe, {})  # training itself is looked at
            continue
        probes[name] = (
            probe,
            {update: stage for stage, update in enumerate(stages(probe.stages, config["updates"]))},
        )
    return probes
