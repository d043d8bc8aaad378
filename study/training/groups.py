"""From configurations to groups: what one point's configuration means, what may be trained
together, what it may cost.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from study.config.build import structure
from study.config.network import build_model, member_bytes
from study.config.tasks import load_task
from study.interfaces import Group, Point
from study.machine.processes import memory
from study.records import StudyError


def group_key(config: Mapping[str, Any]) -> str:
    """Equal for points that can be trained together."""
    shared = (
        "task",
        "depth",
        "hidden",
        "batch",
        "updates",
        "validate_every",
        "dropout",
        "dtype",
        "kernel",
        "readout",
        "health",
        "probe",
        "store",
    )
    key = {name: config[name] for name in shared} | {
        "encoder": config.get("encoder"),
        "precision": config.get("precision", "full"),
    }
    key |= {
        "cell": structure(config["cell"], "cell"),
        "optimizer": structure(config["optimizer"], "optimizer"),
    }
    return json.dumps(key, sort_keys=True)


# than the compiled kernel, about: study/kernels/table.yaml
SLOWER = {"fused": 1.8, "reference": 2.7}


def cost(config: Mapping[str, Any]) -> float:
    """Seconds of one core that a point may need: multiply-adds and element-wise work of the
    recurrence, measured once (one core of a Xeon with AVX-512).

    Only used to plan: to balance workers and to tell about how long a study takes.
    """
    facts, model = load_task(config["task"]).facts, build_model(config)
    values = 0.0  # nanoseconds an example and step, forward and backward
    for number in range(1, config["depth"] + 1):
        own = [parameter for layer, parameter in model.parameters.values() if layer == number]
        recurrent = sum(
            parameter.shape[0]
            for parameter in own
            if parameter.role == "recurrent" and len(parameter.block) == 2
        )
        # diagonal cells have no product a step
        rows = recurrent or max((parameter.shape[0] for parameter in own), default=config["hidden"])
        values += (
            50
            + rows * 1.9
            + recurrent
            * 0.036
            * (config["hidden"] + (model.read if number == 1 else config["hidden"]))
        )
    validations = config["updates"] / config["validate_every"] + 3
    examples = config["updates"] * config["batch"] + 0.4 * validations * len(
        load_task(config["task"]).split("validation").x
    )
    return facts.steps * examples * values * SLOWER.get(model.kernel, 1.0) * 1e-9


# what a worker needs beside its group; of the memory there is, what groups may be planned for
WORKER_BYTES, SHARE = (0.7e9, 0.8)


def room(device_type: str, workers: int, there: float | None = None) -> float:
    """Bytes that a group may need where `workers` train one each: of `there` bytes (None: this
    machine's memory), or of the smallest GPU's.

    Infinite where that is unknown.
    """
    if device_type == "cpu":
        return max(SHARE * (memory() if there is None else there) / workers - WORKER_BYTES, 0.0)
    gpus = torch.cuda.device_count()
    return min(
        (
            SHARE * torch.cuda.get_device_properties(gpu).total_memory / math.ceil(workers / gpus)
            for gpu in range(gpus)
        ),
        default=math.inf,
    )


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def groups(
    points: Sequence[Point],
    workers: int,
    max_members: int,
    begun: Mapping[str, int],
    space: float = math.inf,
    device_type: str = "cpu",
) -> list[Group]:
    """Groups of equal structure, longest first, cut so that `workers` finish at about the same time
    and that each fits into `space` bytes (see `room`).

    `begun`: id -> updates that a checkpoint has of a point; those of one group have made the same.
    A point's numbers do not depend on the cut. On a GPU a group takes about as long as a point, so
    there is no more cutting than workers need.
    """
    if max_members < 1:
        raise StudyError(f"executor: max_members must be at least 1, got {max_members}")
    by_key: dict[tuple[str, int], list[Point]] = {}
    for point in points:
        by_key.setdefault((group_key(point.config), begun.get(point.id, 0)), []).append(point)
    costs = {
        (key, done): cost(of[0].config) * max(1 - done / of[0].config["updates"], 0.01)
        for (key, done), of in by_key.items()
    }
    total = sum(costs[key] * len(of) for key, of in by_key.items())
    # large groups are faster, several rounds a worker even out what the estimate gets wrong
    rounds = 1 if device_type == "cuda" else 2
    share = total / (rounds * workers)
    made = []
    for number, (key, of) in enumerate(by_key.items(), start=1):
        fit = max(
            1,
            min(
                max_members,
                int(
                    min(space / member_bytes(of[0].config, build_model(of[0].config)), max_members)
                ),
            ),
        )
        parts = max(
            math.ceil(len(of) / fit),
            min(math.ceil(costs[key] * len(of) / share), math.ceil(len(of) / 4)),
        )
        bounds = [round(part * len(of) / parts) for part in range(parts + 1)]
        for part, (start, end) in enumerate(itertools.pairwise(bounds), start=1):
            made.append(
                Group(
                    name=f"{number}.{part}",
                    points=tuple(of[start:end]),
                    cost=costs[key] * (end - start),
                )
            )
    return sorted(made, key=lambda group: -group.cost)
